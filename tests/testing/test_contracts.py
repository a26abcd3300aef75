"""What every task may ask of every encoder, and every encoder of every task (geometry:
test_sampler; leaks: test_leaks)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ssl_patches import testing
from ssl_patches.encoders import Encoder, TokenEncoder, create
from ssl_patches.tasks.agree import Agree
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.jigsaw import Jigsaw
from ssl_patches.tasks.masked import Masked
from ssl_patches.tasks.position import Position
from ssl_patches.tasks.relation import Relation
from ssl_patches.tasks.relative import Relative
from ssl_patches.tasks.subsets import Subsets
from ssl_patches.testing import Pair, contracts, pictures
from ssl_patches.testing.contracts import export_difference, order_difference, untrained
from ssl_patches.types import Encoded, PatchBatch

VIT = {"depth": 2, "embed_dim": 48, "num_heads": 3}
NARROW = {"channels": [16, 24, 32, 40]}
CONVNEXT = {"depths": [1, 1, 1, 1], "dims": [16, 24, 32, 40]}


def vit(**options: object) -> Encoder:
    return create(
        name="vit_tiny_patch16_224", image_size=32, patch_size=4, options={**VIT, **options}
    )


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "vit": vit,
    "vit_class_token": lambda: vit(class_token=True),
    "vit_registers": lambda: vit(reg_tokens=2, class_token=True),
    "resnet10t_32": lambda: create(name="resnet10t", image_size=32, options=NARROW),
    "resnet18_64": lambda: create(
        name="resnet18", image_size=64, output_stride=16, options={**NARROW, "layers": [1, 1, 1, 1]}
    ),
    "convnextv2_32": lambda: create(name="convnextv2_atto", image_size=32, options=CONVNEXT),
    "convnext_64": lambda: create(
        name="convnext_tiny", image_size=64, options={**CONVNEXT, "ls_init_value": None}
    ),
    "efficientnet_32": lambda: create(name="test_efficientnet", image_size=32),
}
SMALL = {"width": 48, "heads": 3, "depth": 1}
TASKS: dict[str, tuple[type[PretextTask], dict, str]] = {  # class, knobs, sampler
    "jigsaw": (Jigsaw, {"permutations": 9, "hidden": 64}, "tiles_3x3"),
    "relative": (Relative, {"hidden": 64}, "tiles_3x3"),
    "position": (Position, SMALL, "tokens"),
    "relation": (Relation, {"width": 8}, "tokens"),
    "masked": (Masked, SMALL, "tokens"),
    "agree": (Agree, {"hidden": 64, "out": 16}, "tokens"),
    "subsets": (Subsets, {"hidden": 64, "out": 16}, "tiles_2x2"),
}
SAMPLERS = {
    "tiles_3x3": {"rows": 3, "cols": 3, "standardise": True},
    "tiles_2x2": {"rows": 2, "cols": 2},
    "tokens": {},
}


def put_together(task: str, encoder: str, images: int = 8) -> Pair:
    kind, knobs, sampler = TASKS[task]
    size = 64 if encoder.endswith("64") else 32
    make = partial(kind, **knobs)
    return testing.put_together(
        make,
        lambda *, image_size: ENCODERS[encoder](),
        sampler=SAMPLERS[sampler],
        image_size=size,
        images=images,
    )


PAIRS = [(task, encoder) for task in TASKS for encoder in ENCODERS]


# 1. Blind tiles carry no order.


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_blind_tiles_carry_no_order(task: str, encoder: str):
    contracts.blind_tiles_carry_no_order(put_together(task, encoder))


class CountsTiles(TokenEncoder):
    """Adds a little of the slot's number: what a position table left in would do."""

    def forward(self, patches: PatchBatch) -> Encoded:
        encoded = super().forward(patches)
        return replace(
            encoded, tiles=encoded.tiles + 0.001 * torch.arange(encoded.tiles.shape[1])[:, None]
        )


class UsesBoxesAnyway(TokenEncoder):
    def forward(self, patches: PatchBatch) -> Encoded:
        where = patches.boxes[..., :1] * 0.001
        return replace(encoded := super().forward(patches), tiles=encoded.tiles + where.cumsum(1))


@pytest.mark.parametrize("broken", [CountsTiles, UsesBoxesAnyway])
def test_the_order_check_catches_encoders_that_carry_order(broken: type[TokenEncoder]):
    encoder = broken(name="vit_tiny_patch16_224", image_size=32, patch_size=4, options=VIT)
    patches = put_together("position", "vit").sampler(pictures(8, 32))
    assert order_difference(encoder, patches) > 1e-4


@pytest.mark.parametrize("encoder", ENCODERS)
def test_placed_tiles_differ_by_place_but_not_by_slot(encoder: str):
    contracts.placed_tiles_differ_by_place_but_not_by_slot(put_together("masked", encoder))


# 2. features() is what the exported model says.


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_features_equal_the_export_after_training(task: str, encoder: str):
    pair = put_together(task, encoder)
    pair.train(2)
    size = pair.images.shape[-1]
    exported, images = pair.encoder.export(size), torch.randn(4, 3, size, size)
    assert export_difference(pair.encoder, exported, images) < 1e-5
    with torch.no_grad():  # the check can fail
        for norm in exported.modules():
            if isinstance(norm, nn.BatchNorm2d | nn.LayerNorm):
                norm.weight.mul_(1.01)
    assert export_difference(pair.encoder, exported, images) > 1e-4


@pytest.mark.parametrize("encoder", ENCODERS)
def test_features_have_their_shapes_for_any_batch_and_layers(encoder: str):
    net = ENCODERS[encoder]().eval()
    size = 64 if encoder.endswith("64") else 32
    for count in (1, 2, 3):
        with torch.no_grad():
            layers = net.features(torch.randn(count, 3, size, size), layers=(-2, -1))
        assert len(layers) == 2
        for found in layers:
            assert found.dense.shape[:2] == found.pooled.shape == (count, found.dense.shape[1])
            assert torch.allclose(found.dense.mean((2, 3)), found.pooled, atol=1e-5)
            assert found.prefix.shape == (
                count,
                {"vit_class_token": 1, "vit_registers": 3}.get(encoder, 0),
                found.dense.shape[1],
            )


@pytest.mark.parametrize(
    ("task", "encoder"),
    [("masked", "vit"), ("masked", "vit_class_token"), ("position", "resnet10t_32")],
)
def test_all_tiles_placed_are_the_whole_image_as_exported(task: str, encoder: str):
    pair = put_together(task, encoder)
    pair.train(2)
    pair.encoder.eval()
    mean, std = pair.sampler.mean, pair.sampler.std
    with torch.no_grad():
        tiles = pair.encoder(pair.sampler(pair.images)).tiles.mean(1)
        whole = pair.encoder.features((pair.images / 255 - mean) / std)[-1].pooled
    assert (tiles - whole).abs().max() < 1e-5 * whole.abs().max()


# 3. Every exported parameter is trained by every task, and the loss falls.


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_every_exported_parameter_is_trained(task: str, encoder: str):
    contracts.every_exported_parameter_is_trained(put_together(task, encoder))


def test_the_gradient_check_catches_a_task_that_trains_a_part():
    class FirstBlock(TokenEncoder):
        def _blocks(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
            model = self.model
            return tokens[:, :0], model.norm(model.blocks[0](tokens))

    pair = put_together("masked", "vit")
    pair.encoder = FirstBlock(name="vit_tiny_patch16_224", image_size=32, patch_size=4, options=VIT)
    assert all(name.startswith("blocks.1.") for name in untrained(pair))
    assert len(untrained(pair)) == 12


@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name.startswith("vit")])
def test_the_position_table_is_fixed_and_known(encoder: str):
    pair = put_together("position", encoder)
    table = pair.encoder.model.pos_embed.clone()
    pair.train(2)
    assert torch.equal(pair.encoder.export(32).pos_embed, table)


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_the_loss_is_finite_and_falls_on_a_repeated_batch(task: str, encoder: str):
    contracts.the_loss_falls(put_together(task, encoder))


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_draws_follow_torchs_seed(task: str, encoder: str):
    contracts.draws_follow_torchs_seed(put_together(task, encoder, images=4))


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_metrics_are_detached_scalars_with_chance_beside_each_accuracy(task: str, encoder: str):
    contracts.metrics_are_detached_scalars_beside_chance(put_together(task, encoder, images=4))


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_tasks_say_whether_they_tell_a_place(task: str, encoder: str):
    contracts.blindness_is_declared(put_together(task, encoder, images=2))


@pytest.mark.parametrize("placed", [0.0, 0.25])
def test_the_check_of_blindness_catches_a_wrong_word(placed: float):
    pair = testing.put_together(
        partial(Position, **SMALL, placed=placed), lambda *, image_size: vit(), images=2
    )
    contracts.blindness_is_declared(pair)
    pair.task.always_blind = not pair.task.always_blind
    with pytest.raises(AssertionError, match=f"set always_blind={placed == 0}; a ViT is exported"):
        contracts.blindness_is_declared(pair)


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_preview_lays_real_tiles_on_cells_of_the_grid(task: str, encoder: str):
    pair = put_together(task, encoder, images=4)
    contracts.preview_lays_tiles_on_cells(pair)
    assert pair.task.preview(pair.sampler(pair.images), pair.encoder)


# 4. How the pixels of a tile lie in memory makes no difference.


@pytest.mark.parametrize(("task", "encoder"), PAIRS)
def test_it_does_not_matter_how_pixels_lie(task: str, encoder: str):
    contracts.it_does_not_matter_how_pixels_lie(put_together(task, encoder))


class TakesMemoryAsItIs(TokenEncoder):
    """Reads the numbers of a tile in the order of memory."""

    def _embed(self, patches: PatchBatch) -> Tensor:
        storage = torch.as_strided(
            patches.tiles, patches.tiles.shape, torch.empty(patches.tiles.shape).stride()
        )
        return super()._embed(replace(patches, tiles=storage))


class Views(Position):
    def forward(self, patches: PatchBatch, encoder: Encoder):
        return super().forward(
            replace(
                patches,
                tiles=patches.tiles.view(*patches.tiles.shape[:2], -1).view_as(patches.tiles),
            ),
            encoder,
        )


def test_the_check_of_memory_catches_an_encoder_that_reads_it_and_a_task_that_views():
    pair = put_together("position", "vit")
    pair.encoder = TakesMemoryAsItIs(
        name="vit_tiny_patch16_224", image_size=32, patch_size=4, options=VIT
    )
    with pytest.raises(AssertionError, match="how pixels lie"):
        contracts.it_does_not_matter_how_pixels_lie(pair)
    pair = testing.put_together(
        partial(Views, **SMALL), lambda *, image_size: vit(), sampler={}, image_size=32, images=4
    )
    with pytest.raises(AssertionError, match="reshape works"):
        contracts.it_does_not_matter_how_pixels_lie(pair)
