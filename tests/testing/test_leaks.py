"""Noise has no places: whatever a where-task answers there above chance, it read from something
other than the image."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from ssl_patches.encoders import ConvEncoder, Encoder, TokenEncoder
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.jigsaw import Jigsaw
from ssl_patches.tasks.position import Position
from ssl_patches.tasks.relation import Relation
from ssl_patches.tasks.relative import Relative
from ssl_patches.testing import Answer, leak_probe, noise
from ssl_patches.testing.leaks import STEPS, Images
from ssl_patches.types import Encoded, PatchBatch
from ssl_patches.views import CropFlip, Whole

TINY = {"depth": 1, "embed_dim": 32, "num_heads": 2}
VIT = {"name": "vit_tiny_patch16_224", "image_size": 16, "patch_size": 4, "options": TINY}
RESNET = {
    "name": "resnet18",
    "image_size": 24,
    "options": {"channels": [8, 12, 16, 32], "layers": [1, 1, 1, 1]},
}

OTHERS = {
    "convnext": {
        "name": "convnextv2_atto",
        "image_size": 24,
        "options": {"dims": [8, 12, 16, 32], "depths": [1, 1, 1, 1]},
    },
    "efficientnet": {"name": "test_efficientnet", "image_size": 24},
}

TASKS: dict[str, tuple[type[PretextTask], dict]] = {
    "jigsaw": (Jigsaw, {"permutations": 12, "hidden": 64, "puzzles": 4}),
    "relative": (Relative, {"hidden": 64}),
    "position": (
        Position,
        {"width": 32, "heads": 2, "depth": 1, "mask_ratio": 0.5, "smoothing": 0.0},
    ),
    "relation": (Relation, {"width": 8}),
}
APART = {
    "rows": 2,
    "cols": 2,
    "gap": 1,
    "tile": 4,
}  # 2 x 2 cells, so that 12 permutations are half of all
SAMPLERS = {"jigsaw": APART, "relative": APART, "position": {}, "relation": {}}


def answers_of(
    task: str,
    *,
    encoder: type[Encoder] = TokenEncoder,
    sampler: type[PatchSampler] = PatchSampler,
    images: Images = noise,
    steps: int = STEPS,
    network: dict | None = None,
    **cut: object,
) -> list[Answer]:
    """``leak_probe`` of a tiny encoder of that class."""
    family = network or (RESNET if issubclass(encoder, ConvEncoder) else VIT)
    arguments = {**SAMPLERS[task], **cut}
    kind, knobs = TASKS[task]
    return leak_probe(
        partial(kind, **knobs),
        encoder=partial(encoder, **family),
        sampler=partial(sampler, standardise="rows" in arguments, **arguments),
        images=images,
        image_size=family["image_size"],
        steps=steps,
    )


@pytest.mark.parametrize(
    ("task", "encoder"),
    [
        *((task, TokenEncoder) for task in TASKS),
        *((task, ConvEncoder) for task in ("jigsaw", "relative")),
        pytest.param("position", ConvEncoder, marks=pytest.mark.slow),  # six seconds each
        pytest.param("relation", ConvEncoder, marks=pytest.mark.slow),
    ],
)
def test_on_noise_a_where_task_stays_at_chance(task: str, encoder: type[Encoder]):
    for answer in answers_of(
        task, encoder=encoder, steps=STEPS if encoder is TokenEncoder else STEPS // 2
    ):
        assert not answer.leaks, answer


@pytest.mark.slow
@pytest.mark.parametrize("family", OTHERS)
@pytest.mark.parametrize("task", TASKS)
def test_on_noise_a_where_task_stays_at_chance_in_other_families(task: str, family: str):
    kind = TokenEncoder if family.startswith("rope") else ConvEncoder
    size = {"tile": 8, "gap": 1} if task in ("jigsaw", "relative") and kind is ConvEncoder else {}
    for answer in answers_of(task, encoder=kind, network=OTHERS[family], steps=STEPS // 2, **size):
        assert not answer.leaks, answer


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_on_noise_a_where_task_stays_at_chance_for_long(task: str):
    for answer in answers_of(task, steps=800):
        assert not answer.leaks, answer


@pytest.mark.parametrize(
    ("task", "cut"),
    [
        ("relation", {"scales": (0.87, 0.87)}),  # tokens_apart
        ("relative", {"rows": 3, "cols": 3, "gap": None, "scales": (0.6, 1.0)}),
        ("position", {"gap": 1}),
    ],
)
def test_jitter_and_scales_tell_no_place(task: str, cut: dict):
    for answer in answers_of(task, **cut):
        assert not answer.leaks, answer


# Leaky ones, caught by the same function.


class Peeks(TokenEncoder):
    """Uses the boxes of blind tiles too."""

    def forward(self, patches: PatchBatch) -> Encoded:
        return super().forward(
            replace(patches, placed=torch.ones_like(patches.placed), uniform=True)
        )


class CountsSlots(TokenEncoder):
    """Knows in which order tiles came: raster, before a task selects or shuffles."""

    def scrambled(self, patches: PatchBatch) -> Encoded:
        encoded = super().scrambled(patches)
        return replace(
            encoded, tiles=encoded.tiles + torch.arange(encoded.tiles.shape[1])[:, None] / 4
        )


class PutsThemBack(TokenEncoder):
    """Lays the tiles of a puzzle at their true places."""

    def scrambled(self, patches: PatchBatch) -> Encoded:
        return self(patches)


class Stamps(PatchSampler):
    """Writes the number of its cell into the corner of each tile."""

    def forward(self, images: Tensor) -> PatchBatch:
        patches = super().forward(images)
        number = torch.arange(self.grid.cells) / self.grid.cells
        tiles = patches.tiles.clone()
        tiles[..., 0, :2, :2] = 4 * number[:, None, None] - 2
        return replace(patches, tiles=tiles)


class Aberrates(PatchSampler):
    """A lens: brightness falls from left to right."""

    def forward(self, images: Tensor) -> PatchBatch:
        shade = torch.linspace(1.0, 0.6, images.shape[-1])
        return super().forward((images * shade).to(torch.uint8))


LEAKS = [
    *((task, {"encoder": Peeks}) for task in ("position", "relation")),
    *(
        (task, {"encoder": leaky})
        for task in ("jigsaw", "relative")
        for leaky in (CountsSlots, PutsThemBack)
    ),
    *((task, {"sampler": Stamps}) for task in TASKS),
    *(
        (task, {"sampler": Stamps, "encoder": ConvEncoder, "steps": STEPS // 2})
        for task in ("jigsaw", "relative", "position")
    ),
    ("position", {"sampler": Aberrates}),
]


@pytest.mark.parametrize(("task", "leaky"), LEAKS)
def test_a_leak_is_caught(task: str, leaky: dict):
    found = answers_of(task, **leaky)
    assert any(answer.leaks and answer.accuracy > 1.3 * answer.chance for answer in found), found


@pytest.mark.slow
def test_a_known_limit_resized_noise_tells_places():
    """Interpolation smooths noise by another amount at each place of the view, by its phase and at
    the crop's border.

    A leak of ``CropFlip`` on grainy images that are enlarged, not of a task: without a resize it is
    gone.
    """
    resized, plain = CropFlip(image_size=16), Whole(image_size=16)
    assert any(
        answer.leaks
        for answer in answers_of(
            "relation", steps=800, images=lambda n, side: resized(noise(n, side))
        )
    )
    assert not any(
        answer.leaks
        for answer in answers_of(
            "relation", steps=800, images=lambda n, side: plain(noise(n, side))
        )
    )
