"""Numbers of labels are those that the images allow, typed ones are refused beyond, draws nest."""

import pytest
import torch

from ssl_patches.evaluation.efficiency.draws import (
    draws_of,
    numbers_of_classes,
    numbers_of_images,
)

LABELS = torch.tensor([0] * 12 + [1] * 60)


def test_numbers_that_were_not_typed_end_where_no_class_has_more():
    assert numbers_of_classes(LABELS, None) == [1, 5, 10, 50, None]
    assert numbers_of_images(70, None, least=2) == [5, 10, 50, None]
    assert numbers_of_images(3, None, defaults=(1, 5)) == [1, None]


@pytest.mark.parametrize("most", [13, 60, 1000])
def test_more_labels_than_the_smallest_class_has_are_refused_with_the_most(most):
    with pytest.raises(ValueError, match=r"class 0 has 12 .* numbers up to 12"):
        numbers_of_classes(LABELS, [1, most])
    assert numbers_of_classes(LABELS, [12, 1]) == [1, 12, None]


@pytest.mark.parametrize("wanted", [[1], [5, 71]])
def test_fewer_images_than_are_needed_or_more_than_there_are_are_refused(wanted):
    with pytest.raises(ValueError, match="numbers from 2 to 70"):
        numbers_of_images(70, wanted, least=2)


def test_a_draw_has_so_many_of_each_class_and_lies_within_a_larger_one():
    few, more = (draws_of(LABELS, kind="class", number=number, draws=3) for number in (5, 10))
    for small, large in zip(few, more, strict=True):
        assert LABELS[small].bincount().tolist() == [5, 5]
        assert set(small.tolist()) <= set(large.tolist())
    assert len({tuple(draw.tolist()) for draw in few}) == 3
    (everything,) = draws_of(LABELS, kind="class", number=None, draws=3)
    assert everything.tolist() == list(range(72))
    assert [len(draw) for draw in draws_of(LABELS, kind=None, number=7, draws=2)] == [7, 7]
