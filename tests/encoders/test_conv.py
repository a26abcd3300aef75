from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.encoders import create
from ssl_patches.encoders.conv import ConvEncoder, canvas
from ssl_patches.encoders.visible import VisibleBatchNorm2d
from ssl_patches.types import PatchBatch, PatchGrid

WIDTHS = {"channels": [16, 24, 32, 40], "layers": [1, 1, 1, 1]}
DEPTHS = {"depths": [1, 1, 2, 1], "dims": [12, 20, 28, 36]}
RESNETS = ["resnet18", "resnet26d", "seresnet50", "resnext50_32x4d", "wide_resnet50_2"]
CONVNEXTS = [
    "convnext_tiny",
    "convnext_atto",
    "convnextv2_tiny",
    "convnextv2_atto",
]  # both layouts, with and without GRN
EFFICIENTNETS = [
    "test_efficientnet",
    "tinynet_e",
]  # the first has every kind of block, the second is a narrow B0
NAMES = [*RESNETS, *CONVNEXTS, *EFFICIENTNETS]


def narrow(name: str) -> dict[str, object]:
    return WIDTHS if name in RESNETS else DEPTHS if name in CONVNEXTS else {}


def small(
    name: str = "resnet18",
    image_size: int = 32,
    seed: int = 0,
    channels: int = 3,
    **options: object,
) -> ConvEncoder:
    """A narrow encoder whose every layer matters: no weight of a norm is zero, no running statistic
    the initial one."""
    torch.manual_seed(seed)
    options = {**(narrow(name) if name in NAMES else WIDTHS), **options}
    encoder = ConvEncoder(name=name, image_size=image_size, channels=channels, options=options)
    for key, parameter in encoder.named_parameters():
        if key.endswith("gamma"):  # of a ConvNeXt, 1e-6 at first
            nn.init.constant_(parameter, 0.5)
        if ".grn." in key:
            nn.init.normal_(parameter)
        elif key.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return encoder


def cut(images: Tensor, tile: int) -> PatchBatch:
    """Every cell of a dense grid, in raster order, all placed."""
    count, _, height, width = images.shape
    rows, cols = height // tile, width // tile
    tiles = (
        images[..., : rows * tile, : cols * tile]
        .unflatten(-1, (cols, tile))
        .unflatten(-3, (rows, tile))
    )
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    corner = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)).reshape(-1, 2) * tile
    boxes = torch.cat([corner, torch.full_like(corner, tile)], 1).float().expand(count, -1, 4)
    placed = torch.ones(count, rows * cols, dtype=torch.bool)
    return PatchBatch(tiles=tiles, boxes=boxes, placed=placed, size=(height, width), uniform=True)


def noise(count: int = 3, size: int = 32, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) + 0.5


def some_cells(count: int, cells: int, keep: int, seed: int = 2) -> Tensor:
    return torch.rand(count, cells, generator=torch.Generator().manual_seed(seed)).argsort(1)[
        :, :keep
    ]


def leaks(encoder: ConvEncoder, patches: PatchBatch) -> list[str]:
    """The layers with an input or output that is not zero at a hidden position (patches: placed, on
    a square view)."""
    visible = torch.zeros(len(patches.tiles), 1, *patches.size)
    for image, boxes in enumerate(patches.boxes.long().tolist()):
        for y, x, h, w in boxes:
            visible[image, 0, y : y + h, x : x + w] = 1
    found, checked = [], []

    def look(name: str, values: Tensor) -> None:
        if values.shape[2] != values.shape[3]:  # channels last
            values = values.permute(0, 3, 1, 2)
        stride = visible.shape[-1] // values.shape[-1]
        checked.append(name)
        if values[(visible[..., ::stride, ::stride] == 0).expand_as(values)].any():
            found.append(name)

    whole = (SEModule, SqueezeExcite, VisibleBatchNorm2d)  # what lies inside is their own affair
    inside = {
        id(part)
        for module in encoder.modules()
        if isinstance(module, whole)
        for part in module.modules()
    }
    inside -= {id(module) for module in encoder.modules() if isinstance(module, whole)}
    handles = []
    for name, module in encoder.model.named_modules():
        if name and id(module) not in inside:
            handles.append(
                module.register_forward_pre_hook(lambda _, x, n=name: look(f"into {n}", x[0]))
            )
            handles.append(
                module.register_forward_hook(lambda _, __, x, n=name: look(f"out of {n}", x))
            )
    encoder(patches)
    for handle in handles:
        handle.remove()
    assert len(checked) > 50
    return found


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_hidden_positions_are_zero_at_every_layer(name: str, train: bool) -> None:
    encoder = small(name).train(train)
    patches = cut(noise(), 8).select(some_cells(3, 16, 5))
    assert leaks(encoder, patches) == []


@pytest.mark.parametrize("train", [True, False])
def test_the_zero_check_catches_an_encoder_that_forgets_one_mask(train: bool) -> None:
    patches = cut(noise(), 8).select(some_cells(3, 16, 5))
    for name, layers in {
        "resnet18": ("bn1", "layer2.0.conv2", "layer3.0.downsample.1"),
        "convnextv2_tiny": ("stem.1", "stages.2.blocks.1.conv_dw", "stages.0.blocks.0.mlp.grn"),
        "tinynet_e": ("blocks.1.0.bn2",),
    }.items():
        for layer in layers:
            encoder = small(name).train(train)
            encoder.model.get_submodule(layer)._forward_hooks.clear()
            assert f"out of {layer}" in leaks(encoder, patches)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_all_tiles_visible_is_the_plain_model_on_the_whole_image(name: str, train: bool) -> None:
    encoder, images = small(name), noise(4, 48)
    plain = encoder.export(48).train(train)
    encoder.train(train)
    expected = plain.forward_features(images)
    tiles = encoder(cut(images, 8)).tiles
    difference = tiles.transpose(1, 2).unflatten(2, (6, 6)) - expected
    assert difference.abs().max() <= 1e-5 * expected.abs().max()
    for key, value in plain.state_dict().items():  # in training, the running statistics too
        torch.testing.assert_close(encoder.model.state_dict()[key], value, rtol=1e-4, atol=1e-5)


def test_a_tile_of_several_positions_gets_their_mean() -> None:
    encoder, images = small().eval(), noise(2)
    expected = (
        F.avg_pool2d(encoder.export(32).forward_features(images), 2).flatten(2).transpose(1, 2)
    )
    torch.testing.assert_close(encoder(cut(images, 16)).tiles, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "at", "first"),
    [("seresnet18", "layer1.0.se", "fc1"), ("tinynet_e", "blocks.1.0.se", "conv_reduce")],
)
def test_squeeze_takes_the_mean_of_visible_positions(name: str, at: str, first: str) -> None:
    encoder = small(name).eval()
    squeeze, squeezed, maps = encoder.model.get_submodule(at), [], []
    squeeze.get_submodule(first).register_forward_hook(lambda _, x, __: squeezed.append(x[0]))
    squeeze.register_forward_pre_hook(lambda _, x: maps.append(x[0].clone()))
    encoder(cut(noise(), 8).select(some_cells(3, 16, 4)))
    expected = maps[0].sum((2, 3)) / (4 * 2 * 2)  # 4 tiles of 8 px at stride 4
    torch.testing.assert_close(squeezed[0][..., 0, 0], expected)


def test_batch_statistics_are_those_of_visible_positions() -> None:
    encoder = small().train()
    norm, seen = encoder.model.bn1, {}
    norm.reset_running_stats()
    norm.register_forward_hook(lambda _, x, y: seen.update(x=x[0].clone(), y=y.clone()))
    patches = cut(noise(), 8).select(some_cells(3, 16, 5))
    encoder(patches)
    mask = F.max_pool2d(canvas(patches, 8).abs().amax(1, keepdim=True), 2)[:, 0] > 0
    assert mask.sum() == 3 * 5 * 4 * 4
    values = seen["x"].permute(0, 2, 3, 1)[mask]  # (visible positions, C)
    torch.testing.assert_close(norm.running_mean, 0.1 * values.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * values.var(0))
    expected = F.batch_norm(values, None, None, norm.weight, norm.bias, training=True)
    torch.testing.assert_close(seen["y"].permute(0, 2, 3, 1)[mask], expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_visible_norm_are_those_of_torch_on_visible_positions() -> None:
    encoder = small().train()
    norm = encoder.model.bn1
    cells = torch.rand(4, 1, 2, 2, generator=torch.Generator().manual_seed(0)) < 0.6
    mask = cells.repeat_interleave(3, 2).repeat_interleave(3, 3)
    x = (torch.randn(4, 64, 6, 6) * 3 + 5) * mask
    target = torch.randn_like(x)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    with encoder.visibility.only(cells):
        (norm(ours) * target).sum().backward()
    parameters = [
        norm.weight.detach().clone().requires_grad_(),
        norm.bias.detach().clone().requires_grad_(),
    ]
    values = theirs.permute(0, 2, 3, 1)[mask[:, 0]]
    out = F.batch_norm(values, None, None, *parameters, training=True)
    (out * target.permute(0, 2, 3, 1)[mask[:, 0]]).sum().backward()
    # what the norm sends to hidden positions ends at the mask behind the convolution
    torch.testing.assert_close(ours.grad * mask, theirs.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.weight.grad, parameters[0].grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(norm.bias.grad, parameters[1].grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("train", [True, False])
def test_blind_forward_equals_alone(train: bool) -> None:
    encoder, patches = small().train(train), cut(noise(), 8).blind()
    other = copy.deepcopy(encoder)
    assert torch.equal(encoder(patches).tiles, other.alone(patches).tiles)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), placed=st.booleans())
def test_features_follow_the_order_of_the_tiles(seed: int, placed: bool) -> None:
    encoder, patches = small().eval(), cut(noise(2), 8)
    patches = patches if placed else patches.blind()
    order = some_cells(2, 16, 16, seed)
    expected = encoder(patches).tiles.gather(1, order[..., None].expand(-1, -1, encoder.dim))
    torch.testing.assert_close(encoder(patches.select(order)).tiles, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("train", [True, False])
def test_mixed_is_the_canvas_of_the_placed_and_the_blind_alone(train: bool) -> None:
    encoder, patches = small().train(train), cut(noise(), 8)
    order = some_cells(3, 16, 16)
    mixed = copy.deepcopy(encoder)(patches.blind(order[:, 5:])).tiles
    placed = copy.deepcopy(encoder)(patches.select(order[:, :5])).tiles
    blind = copy.deepcopy(encoder).alone(patches).tiles
    expected = blind.scatter(1, order[:, :5, None].expand(-1, -1, encoder.dim), placed)
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)


def test_neighbours_matter_when_placed_and_not_when_blind() -> None:
    encoder, images = small().eval(), noise()
    changed = images.clone()
    changed[..., 8:16] += 1.0  # the second column of tiles
    for patches, other, same in [
        (cut(images, 8), cut(changed, 8), False),
        (cut(images, 8).blind(), cut(changed, 8).blind(), True),
    ]:
        assert (
            torch.allclose(encoder(patches).tiles[:, 0], encoder(other).tiles[:, 0], atol=1e-6)
            == same
        )


def test_images_without_a_placed_tile_keep_values_and_gradients_finite() -> None:
    encoder, patches = small().train(), cut(noise(), 8)
    every = torch.arange(16).expand(3, 16)
    encoder(patches.blind(every)).tiles.square().mean().backward()
    for name, value in [
        *encoder.named_buffers(),
        *((n, p.grad) for n, p in encoder.named_parameters()),
    ]:
        assert value.isfinite().all(), name


def test_a_blind_tile_between_the_positions_spoils_no_gradient() -> None:
    encoder, patches = small().train(), cut(noise(), 8).blind(torch.zeros(3, 1, dtype=torch.long))
    patches.boxes[0, 0] = torch.tensor(
        [1.0, 1.0, 4.0, 4.0]
    )  # blind, and holds no position of a map at stride 8
    encoder(patches).tiles.square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_the_canvas_puts_each_tile_where_it_was_cut() -> None:
    at = torch.arange(40.0)
    image = torch.stack([at[:, None].expand(40, 40), at.expand(40, 40), torch.ones(40, 40)])[None]
    cells = some_cells(1, 25, 7)
    laid = canvas(cut(image, 8).select(cells), 8)[0]
    filled = laid[2] == 1
    assert filled.sum() == 7 * 64
    assert torch.equal(laid[:, filled], image[0][:, filled])
    assert not laid[:, ~filled].any()


def test_a_view_that_the_grid_does_not_divide_is_padded_with_hidden_positions() -> None:
    encoder = small().train()
    patches = cut(noise(2, 36), 8)
    assert canvas(patches, 8).shape == (2, 3, 40, 40)
    assert encoder(patches).tiles.shape == (2, 16, encoder.dim)


def test_32_px_at_stride_8_gives_4_by_4_positions() -> None:
    encoder = small()
    assert encoder.unit == 8
    assert encoder.features(noise())[0].dense.shape == (3, 40, 4, 4)
    assert encoder(cut(noise(), 8)).tiles.shape == (3, 16, 40)


@pytest.mark.parametrize("stride", [8, 32])
@pytest.mark.parametrize("tile", [4, 5, 14])
def test_small_tiles_alone_have_a_feature(tile: int, stride: int) -> None:
    encoder = ConvEncoder(name="resnet26d", image_size=32, output_stride=stride, options=WIDTHS)
    encoder.check(PatchGrid(rows=2, cols=2, tile=tile), places=False)
    encoded = encoder(cut(noise(3, 2 * tile), tile).blind())
    assert encoded.tiles.shape == (3, 4, encoder.dim)
    assert encoded.prefix.shape == (3, 0, encoder.dim)


@pytest.mark.parametrize("name", NAMES)
def test_features_equal_the_export(name: str) -> None:
    encoder, images = small(name).eval(), noise()
    exported = encoder.export(32)
    assert not any(
        isinstance(module, VisibleBatchNorm2d) or module._forward_hooks
        for module in exported.modules()
    )
    torch.testing.assert_close(
        encoder.features(images)[0].pooled, exported(images), rtol=1e-5, atol=1e-5
    )


def test_features_come_in_the_order_asked() -> None:
    encoder, images = small().eval(), noise()
    last, first, second = encoder.features(images, layers=(-1, 0, 1))
    assert [f.dense.shape[1] for f in (last, first, second)] == [40, 16, 24]
    assert torch.equal(last.pooled, encoder.features(images)[0].pooled)
    torch.testing.assert_close(first.pooled, first.dense.mean((2, 3)))
    with pytest.raises(ValueError, match="layers=4"):
        encoder.features(images, layers=(4,))


def test_the_state_dict_is_timms_own() -> None:
    encoder = small("seresnet50")
    plain = timm.create_model(encoder.architecture, num_classes=0, **encoder.arguments)
    plain.load_state_dict(encoder.model.state_dict(), strict=True)
    assert list(plain.state_dict()) == list(encoder.model.state_dict())


def test_random_weights_are_those_that_timm_draws() -> None:
    torch.manual_seed(3)
    encoder = ConvEncoder(name="resnet18", image_size=32)
    torch.manual_seed(3)
    plain = timm.create_model("resnet18", num_classes=0, output_stride=8)
    assert all(
        torch.equal(value, encoder.model.state_dict()[key])
        for key, value in plain.state_dict().items()
    )


@pytest.mark.parametrize("hide", ["placed", "blind", "mixed"])
def test_every_parameter_has_a_gradient_and_after_one_step_it_is_not_zero(hide: str) -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(
        name="seresnet18", image_size=32, options=WIDTHS
    ).train()  # with timm's own zero weights
    patches = cut(noise(8), 8).select(some_cells(8, 16, 6))
    if hide != "placed":
        patches = patches.blind(None if hide == "blind" else torch.arange(3).expand(8, 3))
    target = torch.randn(8, 6, encoder.dim)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        F.mse_loss(encoder(patches).tiles, target).backward()
        for name, parameter in encoder.named_parameters():
            assert parameter.grad is not None, name
            assert step == 0 or parameter.grad.any(), name
        optimizer.step()


def test_calibrate_takes_the_statistics_of_whole_images() -> None:
    encoder = small().train()
    encoder.model.layer1.eval()
    momentum = encoder.model.bn1.momentum
    batches = [noise(4, seed=s) + shift for s, shift in enumerate((0.0, 10.0, 20.0))]
    modes = [module.training for module in encoder.modules()]
    weights = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    encoder.calibrate(batches)
    inputs = [encoder.model.conv1(batch) for batch in batches]
    norm = encoder.model.bn1
    torch.testing.assert_close(
        norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    )
    torch.testing.assert_close(
        norm.running_var, torch.stack([x.var((0, 2, 3)) for x in inputs]).mean(0)
    )
    assert norm.momentum == momentum
    assert modes == [module.training for module in encoder.modules()]
    assert all(torch.equal(weights[name], p) for name, p in encoder.named_parameters())
    with pytest.raises(ValueError, match="calibrate: got no images"):
        encoder.calibrate([])


@pytest.mark.parametrize("name", NAMES)
def test_fixed_statistics_stay_in_training_and_calibration(name: str) -> None:
    encoder = create(name=name, image_size=32, options=narrow(name), fixed_statistics=True)
    before = copy.deepcopy(dict(encoder.named_buffers()))
    for mode in (True, False, True):
        encoder.train(mode)
        encoder.pooled(cut(noise(4), 32)).sum().backward()
        encoder.alone(cut(noise(4), 32))
    encoder.calibrate([noise(8)])
    assert all(torch.equal(before[key], value) for key, value in encoder.named_buffers())
    assert all(not norm.training for norm in encoder.norms)
    assert encoder.training
    assert all(norm.weight.grad is not None for norm in encoder.norms), "its scale learns"


def test_calibrate_is_not_stochastic() -> None:
    encoder = small(drop_path_rate=0.5).train()
    twin = copy.deepcopy(encoder)
    encoder.calibrate([noise(8)])
    twin.calibrate([noise(8)])
    assert all(torch.equal(a, b) for a, b in zip(encoder.buffers(), twin.buffers(), strict=True))


def test_a_deep_copy_has_a_mask_of_its_own() -> None:
    encoder = small().eval()
    twin, patches = copy.deepcopy(encoder), cut(noise(), 8).select(some_cells(3, 16, 5))
    norms = [m for m in twin.modules() if isinstance(m, VisibleBatchNorm2d)]
    assert all(m.visibility is twin.visibility for m in norms)
    assert twin.visibility is not encoder.visibility
    assert torch.equal(twin(patches).tiles, encoder(patches).tiles)
    assert leaks(twin, patches) == []
    with encoder.visibility.only(torch.zeros(3, 1, 4, 4, dtype=torch.bool)):
        assert not encoder.features(noise())[0].pooled.any()
        assert twin.features(noise())[0].pooled.any()


def test_it_can_be_sent_to_another_process() -> None:
    encoder, patches = small().train(), cut(noise(), 8).select(some_cells(3, 16, 5))
    twin = pickle.loads(pickle.dumps(encoder))
    assert leaks(twin, patches) == []
    assert torch.equal(twin.eval()(patches).tiles, copy.deepcopy(twin)(patches).tiles)
    assert (
        len([m for m in twin.modules() if getattr(m, "visibility", None) is twin.visibility]) > 10
    )


def test_an_error_inside_leaves_no_mask_behind() -> None:
    encoder = small().eval()
    handle = encoder.model.layer4.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encoder(cut(noise(), 8))
    handle.remove()
    assert encoder.visibility.cells is None
    assert encoder.visibility.levels == {}


def test_autocast_keeps_hidden_positions_zero() -> None:
    encoder, patches = small().train(), cut(noise(), 8).select(some_cells(3, 16, 5))
    with torch.autocast("cpu", torch.bfloat16):
        assert leaks(encoder, patches) == []
        assert encoder(patches).tiles.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "resnet81"},
            "encoder.name=resnet81: timm has no such model; did you mean .*resnet18",
        ),
        (
            {"name": "vit_tiny_patch16_224"},
            "encoder.name=vit_tiny_patch16_224: must be a ResNet, ConvNeXt or Eff",
        ),
        ({"name": "resnet50_gn"}, "encoder.name=resnet50_gn: has GroupNorm"),
        ({"name": "ecaresnet50d"}, "encoder.name=ecaresnet50d: has Conv1d"),
        ({"name": "resnetblur18"}, "encoder.name=resnetblur18: has BlurPool2d"),
        ({"name": "resnetaa50"}, "encoder.name=resnetaa50: has anti-aliasing"),
        (
            {"name": "resnet18", "options": {"act_layer": "sigmoid"}},
            "encoder.name=resnet18: has Sigmoid",
        ),
        (
            {"name": "convnext_atto", "output_stride": 8, "options": {"patch_size": 4}},
            "convnext_atto: has a dilated convolution",
        ),
        ({"name": "convnext_zepto_rms"}, "encoder.name=convnext_zepto_rms: has SimpleNorm2d"),
        ({"name": "efficientnet_cc_b0_4e"}, "encoder.name=efficientnet_cc_b0_4e: has CondConv2d"),
        ({"name": "efficientnet_blur_b0"}, "encoder.name=efficientnet_blur_b0: has BlurPool2d"),
        ({"name": "efficientnet_b0_g8_gn"}, "encoder.name=efficientnet_b0_g8_gn: has GroupNorm"),
        ({"name": "resnet18", "options": {"widht": 3}}, "encoder.options=.*widht"),
        ({"name": "resnet18", "options": {"channels": [8, 16]}}, "is built and does not run"),
        (
            {"name": "resnet18", "options": {"num_classes": 3}},
            "encoder.options.num_classes=3: .*remove it",
        ),
        (
            {"name": "resnet18", "output_stride": 4},
            "encoder.output_stride=4: .*set encoder.output_stride=8",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_remedy(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvEncoder(image_size=32, **arguments)


def test_check_refuses_grids_whose_tiles_share_a_position() -> None:
    encoder = small()
    encoder.check(PatchGrid(rows=4, cols=4, tile=8, dense=True), places=True)
    encoder.check(PatchGrid(rows=3, cols=3, tile=10), places=False)
    for tile, dense, places, message in [
        (10, True, True, "sampler.tile=10: .*set sampler.tile=16"),
        (8, False, True, "sampler.tile=8: tiles must touch"),
        (3, True, False, "sampler.tile=3: .*set sampler.tile=4"),
    ]:
        with pytest.raises(ValueError, match=message):
            encoder.check(PatchGrid(rows=3, cols=3, tile=tile, dense=dense), places=places)
    coarse = ConvEncoder(name="resnet18", image_size=64, options=WIDTHS)
    with pytest.raises(ValueError, match=r"sampler\.tile=16: .*set encoder\.output_stride=16"):
        coarse.check(PatchGrid(rows=4, cols=4, tile=16, dense=True), places=True)


def test_gradient_checkpointing_is_refused_for_placed_tiles() -> None:
    encoder = small()
    encoder.model.set_grad_checkpointing(True)
    with pytest.raises(ValueError, match="gradient checkpointing"):
        encoder(cut(noise(), 8))
