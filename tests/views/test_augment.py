"""Operations are named, adjusted and removed by their keys."""

from __future__ import annotations

import pytest
import torch

from ssl_patches import config
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training import build as build_run
from ssl_patches.views import Augment, CropFlip


def views_of(*words: str) -> Augment:
    cfg = config.request("pretrain", [*words, "image_size=32"], supplied=SUPPLIED, schema=PRETRAIN)
    return build_run.build(cfg["views"], image_size=32)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("photo", {"colour": "Colour", "grey": "Grey", "blur": "Blur"}),
        ("microscopy", {"rotate": "Rotate", "colour": "Intensity", "blur": "Blur"}),
        ("satellite", {"rotate": "Rotate", "colour": "Intensity"}),
    ],
)
def test_every_named_operation_is_there_and_can_be_removed(choice: str, names: dict[str, str]):
    assert [type(step).__name__ for step in views_of(f"views={choice}").operations] == list(
        names.values()
    )
    for name in names:
        left = [
            type(step).__name__
            for step in views_of(f"views={choice}", f"views.{name}=null").operations
        ]
        assert left == [kind for key, kind in names.items() if key != name]
    bare = views_of(
        f"views={choice}", *(f"views.{name}=null" for name in names), "views.scale=[0.2,1.0]"
    )
    images = torch.randint(256, (4, 3, 40, 40), dtype=torch.uint8)
    torch.manual_seed(0)
    found = bare(images)
    torch.manual_seed(0)
    assert torch.equal(found, CropFlip(image_size=32)(images))


def test_an_operation_can_be_adjusted_and_another_added_by_name():
    added = views_of(
        "views=photo", "views.colour.hue=0", "views.rotate._target_=ssl_patches.views.Rotate"
    )
    assert [type(step).__name__ for step in added.operations] == [
        "Rotate",
        "Colour",
        "Grey",
        "Blur",
    ]
    assert added.operations[1].hue == 0


def test_the_default_is_crop_and_flip_alone():
    assert type(views_of()) is CropFlip


@pytest.mark.parametrize("choice", ["microscopy", "satellite"])
def test_what_is_no_photograph_may_have_any_number_of_channels(choice: str):
    images = torch.randint(256, (4, 7, 40, 40), dtype=torch.uint8)
    assert views_of(f"views={choice}")(images).shape == (4, 7, 32, 32)
    with pytest.raises(
        ValueError,
        match=r"views.colour: saturation and hue need 3 channels, the images have 7; set",
    ):
        views_of("views=photo")(images)
    with pytest.raises(ValueError, match=r"views.grey: needs 3 channels.*set views.grey=null"):
        views_of("views=photo", "views.colour=null")(images)
    colours = ("views.colour.saturation=0", "views.colour.hue=0", "views.grey=null")
    assert views_of("views=photo", *colours)(images).shape == (4, 7, 32, 32)
