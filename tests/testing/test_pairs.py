"""A pair is put together as the program does it, and its draws follow a seed."""

from functools import partial

import pytest
import torch

from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.relative import Relative
from ssl_patches.testing import contracts
from ssl_patches.testing.leaks import leak_probe
from ssl_patches.testing.pairs import pictures, put_together, small_encoders


def test_every_tile_of_the_pictures_is_another_and_they_are_always_the_same():
    images = pictures(2, 16)
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.uint8
    tiles = images.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    assert len({tile.numpy().tobytes() for tile in tiles}) == 8
    assert torch.equal(images, pictures(2, 16))


def test_output_follows_the_seed_and_training_moves_the_loss():
    cut = {"rows": 3, "cols": 3, "tile": 8}
    pair = put_together(Relative, small_encoders()["vit"], sampler=cut, image_size=32, images=4)
    assert pair.size == 32
    assert torch.equal(pair.output(1).loss, pair.output(1).loss)
    losses = pair.train(3)
    assert losses[-1] < losses[0]


def test_the_callers_generator_is_left_as_it_is():
    before = torch.get_rng_state()
    cut = {"rows": 3, "cols": 3, "tile": 8}
    pair = put_together(Relative, small_encoders()["vit"], sampler=cut, image_size=32, images=4)
    for contract in (*contracts.TASK, *contracts.ENCODER, contracts.features_have_their_shapes):
        contract(pair)
    leak_probe(Relative, sampler=partial(PatchSampler, **cut), image_size=32, steps=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_tiles_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="sampler"):
        put_together(Relative, small_encoders()["vit"], sampler={"rows": 9, "cols": 9, "tile": 8})
