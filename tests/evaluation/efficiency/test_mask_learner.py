"""Answers of a learner of masks are counts of pixels."""

import pytest
import torch

from ssl_patches.evaluation.efficiency.mask_learner import MaskLearner


def test_a_map_that_is_right_everywhere_has_100_and_an_image_counts_as_often_as_it_is_drawn():
    learner = object.__new__(MaskLearner)
    right, wrong = torch.tensor([[4, 0], [0, 4]]), torch.tensor([[0, 4], [4, 0]])
    answers, every = torch.stack([right, wrong]), torch.tensor([[1, 0], [0, 1], [1, 1]])
    assert learner.values(answers, learner.right(), every).tolist() == pytest.approx(
        [100, 0, 100 / 3]
    )


def test_a_draw_is_as_many_labels_as_it_has_images():
    assert object.__new__(MaskLearner).size(torch.arange(7)) == 7
