"""The images of an evaluation are the same for every model: nothing of them can be changed."""

from dataclasses import FrozenInstanceError

import pytest

from ssl_patches.evaluation import Bench, EvalData


def test_it_cannot_be_changed_and_has_its_former_name():
    data = EvalData(
        train=[], test=[], batch_size=1, num_workers=0, mean=[0.5], std=[0.5], image_size=8
    )
    assert Bench is EvalData
    assert data.large is None  # pieces are then cut from images of image_size
    with pytest.raises(FrozenInstanceError):
        data.batch_size = 2


def test_images_are_counted_up_to_the_limit_of_each_side():
    same = dict(batch_size=1, num_workers=0, mean=[0.5], std=[0.5], image_size=8)
    data = EvalData(train=[1, 2, 3], test=[1, 2], limit_train=2, limit_test=9, **same)
    assert data.images == 4
