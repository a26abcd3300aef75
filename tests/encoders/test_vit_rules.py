"""Which ViTs can encode tiles."""

from __future__ import annotations

import pytest
import timm

from ssl_patches.encoders.vit_rules import RESERVED, check_family, check_sizes, usual_patch


@pytest.mark.parametrize(("side", "patch"), [(224, 16), (64, 8), (32, 4)])
def test_the_usual_patch_leaves_eight_by_eight_tokens(side, patch):
    assert usual_patch("vit_tiny_patch16_224", side) == patch


@pytest.mark.parametrize("key", RESERVED)
def test_an_option_that_the_encoder_sets_is_refused_by_its_key(key):
    with pytest.raises(ValueError, match=rf"encoder.options.{key}=1: .*remove it"):
        check_sizes(32, None, {key: 1})


def test_sizes_below_a_pixel_are_refused_with_what_to_set():
    check_sizes(1, 1, {})
    with pytest.raises(ValueError, match=r"image_size=0: .*set image_size="):
        check_sizes(0, None, {})
    with pytest.raises(ValueError, match=r"encoder.patch_size=0: .*set encoder.patch_size="):
        check_sizes(32, 0, {})


def test_a_plain_vit_is_taken_and_others_are_refused_with_a_remedy():
    check_family("plain", timm.create_model("test_vit", num_classes=0))
    for name in ("test_efficientnet", "test_vit2"):
        model = timm.create_model(name, num_classes=0)
        model.pos_embed = None
        with pytest.raises(ValueError, match=rf"encoder.name={name}: not supported.*choose"):
            check_family(name, model)
