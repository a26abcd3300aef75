"""Answers of a learner of masks are counts of pixels."""

import pytest
import torch

from ssl_patches.data.module import ordered_loader
from ssl_patches.evaluation.efficiency.learner import SETTINGS
from ssl_patches.evaluation.efficiency.mask_learner import MaskLearner, _read_of
from tests.evaluation.probes.test_label_efficiency import Bright


def test_a_map_that_is_right_everywhere_has_100_and_an_image_counts_as_often_as_it_is_drawn():
    learner = object.__new__(MaskLearner)
    right, wrong = torch.tensor([[4, 0], [0, 4]]), torch.tensor([[0, 4], [4, 0]])
    answers, every = torch.stack([right, wrong]), torch.tensor([[1, 0], [0, 1], [1, 1]])
    assert learner.values(answers, learner.right(), every).tolist() == pytest.approx(
        [100, 0, 100 / 3]
    )


def test_a_draw_is_as_many_labels_as_it_has_images():
    assert object.__new__(MaskLearner).size(torch.arange(7)) == 7


def test_images_that_are_read_are_those_of_the_ordered_loader():
    source = Bright(9, 0, "masks")
    for limit in (None, 4):
        loader = ordered_loader(source, batch_size=3, num_workers=0, limit=limit)
        shown = torch.cat([batch.index for batch in loader])
        assert _read_of(9, limit).tolist() == shown.tolist()


def test_a_setting_is_chosen_on_the_last_fifth_of_some_and_one_image_takes_the_first(monkeypatch):
    learner, tried = object.__new__(MaskLearner), []
    learner.index = torch.arange(100, 120)
    learner.eval_data = type("Data", (), {"train": Bright(200, 0, "masks")})

    def finetuned(some, asked, setting, progress):
        tried.append((some.tolist(), asked.only, setting))
        right = 4 if setting == SETTINGS[1] else 2
        return torch.tensor([[[right, 4 - right], [0, 4]]])

    monkeypatch.setattr(learner, "_finetuned", finetuned)
    setting, scores = learner.choose(torch.arange(10), 3)
    assert setting == SETTINGS[1]
    assert len(scores) == 3
    assert tried == [(list(range(8)), [108, 109], each) for each in SETTINGS[:3]]
    assert learner.choose(torch.arange(1), 3) == (SETTINGS[0], {})
    assert learner.choose(torch.arange(10), 1) == (SETTINGS[0], {})
