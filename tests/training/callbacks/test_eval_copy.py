"""What observers do with a copy does not reach the original."""

from __future__ import annotations

import pytest
import torch
from small import SMALL

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training.callbacks import eval_copy
from ssl_patches.training.prepare import prepare


@pytest.fixture(scope="module")
def run():
    return prepare(mixture.request([*SMALL], supplied=SUPPLIED, schema=PRETRAIN))


def test_the_original_keeps_weights_mode_and_generator(run) -> None:
    module = run.module.train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = torch.get_rng_state()
    with eval_copy.eval_copy(module) as copied:
        assert not copied.training
        assert not torch.is_grad_enabled()
        torch.rand(3)
        for value in copied.state_dict().values():
            value.zero_()
        copied.encoder.new = 1
    assert torch.get_rng_state().equal(state)
    assert module.training
    assert not hasattr(module.encoder, "new")
    assert all(value.equal(before[key]) for key, value in module.state_dict().items())


def test_images_are_the_same_in_every_call(run) -> None:
    once, again = (eval_copy.first_images(run.data.val, 5) for _ in range(2))
    assert once.images.shape == (5, 3, 32, 32)
    assert once.images.dtype == torch.uint8
    assert once.images.equal(again.images)


def test_metrics_are_a_mean_and_the_same_in_every_call(run) -> None:
    images = eval_copy.first_images(run.data.val, 6).images
    found = []
    for _ in range(2):
        with eval_copy.eval_copy(run.module) as copied:
            found.append(eval_copy.mean_metrics(copied, images, seed=0))
    assert found[0] == found[1]
    assert set(found[0]) >= {"loss", "accuracy", "chance"}


def test_features_are_those_of_whole_views_one_per_image(run) -> None:
    images = eval_copy.first_images(run.data.val, 3).images
    with eval_copy.eval_copy(run.module) as copied:
        encoder = eval_copy.calibrated(copied, run.data)
        found = eval_copy.pooled_features(encoder, copied, images)
        one = encoder.features(eval_copy.whole_views(copied, images[1:2]))[0].pooled
    assert found.shape == (3, encoder.dim)
    torch.testing.assert_close(found[1:2], one)
