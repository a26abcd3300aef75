"""The masked task is MAE: same weights, same mask, same loss as transformers' ViTMAEForPreTraining,
CLS included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_patches.encoders import TokenEncoder, create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.masked import Masked, mean_squared_cosine
from ssl_patches.types import PatchGrid

SIZE, PATCH, WIDTH, DECODER = 32, 8, 48, 24
TINY = {"embed_dim": WIDTH, "depth": 2, "num_heads": 4, "class_token": True}


@pytest.fixture(scope="module")
def reference():
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    torch.manual_seed(0)
    config = ViTMAEConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        image_size=SIZE,
        patch_size=PATCH,
        decoder_hidden_size=DECODER,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=3,
        decoder_intermediate_size=4 * DECODER,
        mask_ratio=0.75,
        norm_pix_loss=True,
        layer_norm_eps=1e-6,
        hidden_act="gelu",
    )
    model = ViTMAEForPreTraining(config).eval()
    # transformers 5.23 leaves both position tables at zero otherwise
    model.vit.embeddings.initialize_weights()
    model.decoder.initialize_weights(model.vit.embeddings.patch_embeddings.num_patches)
    with torch.no_grad():  # as after training: nothing is at its initial zero or one
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
        model.vit.embeddings.cls_token.normal_()
    return model


def copy_linear(ours: nn.Module, theirs: nn.Module) -> None:
    ours.weight.copy_(theirs.weight.reshape(ours.weight.shape))
    ours.bias.copy_(theirs.bias)


def find(state: dict[str, torch.Tensor], *parts: str) -> str:
    (name,) = [key for key in state if all(part in key for part in parts)]
    return name.rpartition(".")[0]


@torch.no_grad()
def copy_block(ours: nn.Module, theirs: nn.Module) -> None:
    """By the names' meaning, so that a renamed inner module of transformers is found or refused,
    never guessed."""
    state = theirs.state_dict()
    get = lambda *parts: theirs.get_submodule(find(state, *parts, "weight"))  # noqa: E731
    query, key, value = (get(f"{name}.") for name in attention_names(state))
    ours.attn.qkv.weight.copy_(torch.cat([query.weight, key.weight, value.weight]))
    ours.attn.qkv.bias.copy_(torch.cat([query.bias, key.bias, value.bias]))
    names = {name.rpartition(".")[0] for name in state}
    after = [name for name in names if theirs.get_submodule(name).weight.dim() == 2]
    shapes = {name: tuple(theirs.get_submodule(name).weight.shape) for name in after}
    width = ours.attn.proj.weight.shape[0]
    (out,) = [
        n
        for n in after
        if shapes[n] == (width, width) and not any(a in n for a in attention_names(state))
    ]
    (up,) = [n for n in after if shapes[n] == (4 * width, width)]
    (down,) = [n for n in after if shapes[n] == (width, 4 * width)]
    for mine, name in ((ours.attn.proj, out), (ours.mlp.fc1, up), (ours.mlp.fc2, down)):
        copy_linear(mine, theirs.get_submodule(name))
    copy_linear(ours.norm1, get("before"))
    copy_linear(ours.norm2, get("layernorm_after"))


def attention_names(state: dict[str, torch.Tensor]) -> tuple[str, str, str]:
    for names in (("query", "key", "value"), ("q_proj", "k_proj", "v_proj")):
        if any(f"{names[0]}." in key for key in state):
            return names
    raise AssertionError(sorted(state))


@torch.no_grad()
def ours_with_weights_of(reference: nn.Module) -> tuple[TokenEncoder, Masked]:
    encoder = create(name="vit_tiny_patch16_224", image_size=SIZE, patch_size=PATCH, options=TINY)
    side = SIZE // PATCH
    task = Masked(
        dim=WIDTH, grid=PatchGrid(side, side, PATCH, dense=True), depth=2, width=DECODER, heads=3
    )
    vit, decoder = reference.vit, reference.decoder
    copy_linear(encoder.model.patch_embed.proj, vit.embeddings.patch_embeddings.projection)
    encoder.model.cls_token.copy_(vit.embeddings.cls_token)
    layers = getattr(vit, "layers", None) or vit.encoder.layer
    for mine, theirs in zip(encoder.model.blocks, layers, strict=True):
        copy_block(mine, theirs)
    copy_linear(encoder.model.norm, vit.layernorm)
    copy_linear(task.decoder.enter, decoder.decoder_embed)
    task.hidden_token.copy_(decoder.mask_token.flatten())
    for mine, theirs in zip(task.decoder.blocks, decoder.decoder_layers, strict=True):
        copy_block(mine, theirs)
    copy_linear(task.decoder.norm, decoder.decoder_norm)
    copy_linear(task.decoder.leave, decoder.decoder_pred)
    return encoder.eval(), task.eval()


def both_losses(reference: nn.Module, encoder: TokenEncoder, task: Masked) -> tuple[float, float]:
    images = torch.rand(3, 3, SIZE, SIZE)
    sampler = PatchSampler(image_size=SIZE, unit=PATCH)
    noise = torch.rand(3, 16)
    order = noise.argsort(1)
    task.draw = lambda count, device: (order[:, : task.keep], order[:, task.keep :])
    patches = sampler(images)
    theirs = reference((images - sampler.mean) / sampler.std, noise=noise).loss
    return task(patches, encoder).loss.item(), theirs.item()


def test_the_loss_equals_transformers_mae_with_the_same_weights_and_mask(reference):
    ours, theirs = both_losses(reference, *ours_with_weights_of(reference))
    assert ours == pytest.approx(theirs, rel=1e-4)  # 5.0 of transformers differs by 3e-5


def test_the_comparison_notices_a_position_in_the_wrong_order(reference):
    encoder, task = ours_with_weights_of(reference)
    half = DECODER // 2
    task.positions = torch.cat([task.positions[:, half:], task.positions[:, :half]], 1)  # y first
    ours, theirs = both_losses(reference, encoder, task)
    assert ours != pytest.approx(theirs, rel=3e-4)  # they agree to 3e-5 where nothing is wrong


def test_the_encoder_computes_visible_tokens_only():
    encoder = create(
        name="vit_tiny_patch16_224",
        image_size=SIZE,
        patch_size=PATCH,
        options={**TINY, "class_token": False},
    )
    sampler = PatchSampler(image_size=SIZE, unit=PATCH)
    task = Masked(dim=WIDTH, grid=sampler.grid, width=DECODER, depth=1)
    seen = []
    encoder.model.blocks[0].register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0].shape[1])
    )
    task(sampler(torch.rand(2, 3, SIZE, SIZE)), encoder)
    assert seen == [4]


@pytest.mark.parametrize("mask", ["random", "block", "inverse_block"])
def test_every_mask_trains_down_to_a_repeated_image(mask):
    torch.manual_seed(0)
    encoder = create(
        name="vit_tiny_patch16_224",
        image_size=SIZE,
        patch_size=PATCH,
        options={**TINY, "class_token": False},
    )
    sampler = PatchSampler(image_size=SIZE, unit=PATCH)
    task = Masked(dim=WIDTH, grid=sampler.grid, width=DECODER, depth=1, mask=mask, uniformity=0.01)
    patches = sampler(torch.rand(4, 3, SIZE, SIZE))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *task.parameters()], lr=3e-3)
    losses = []
    for _ in range(60):
        output = task(patches, encoder)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.metrics["reconstruction"].item())
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_a_normalised_target_has_mean_zero_and_unit_unbiased_deviation():
    task = Masked(dim=8, grid=PatchGrid(4, 4, 8, dense=True), width=DECODER, depth=0)
    target = task.target(torch.rand(2, 5, 3, 8, 8) * 7 + 3)
    assert target.mean(2).abs().max() < 1e-4
    assert (target.std(2, correction=1) - 1).abs().max() < 1e-4


def test_uniformity_is_one_for_equal_images_and_near_one_over_n_for_orthogonal_ones():
    assert mean_squared_cosine(torch.ones(4, 3, 8)).item() == pytest.approx(1.0)
    assert mean_squared_cosine(torch.eye(4)[:, None].expand(4, 3, 4)).item() == pytest.approx(1 / 4)


def test_hidden_pixels_do_not_change_what_the_encoder_says():
    torch.manual_seed(0)
    for name, size, options in (
        ("vit_tiny_patch16_224", 32, {**TINY, "class_token": False}),
        ("resnet18", 64, None),
    ):
        encoder = create(name=name, image_size=size, options=options).eval()
        sampler = PatchSampler(image_size=size, unit=encoder.unit)
        images = torch.rand(2, 3, size, size)
        visible = torch.tensor([[1], [2]])
        other = images.clone()
        tile = sampler.grid.tile
        for image, cell in enumerate(visible[:, 0].tolist()):
            y, x = cell // sampler.grid.cols * tile, cell % sampler.grid.cols * tile
            kept = other[image, :, y : y + tile, x : x + tile].clone()
            other[image] = torch.rand(3, size, size)
            other[image, :, y : y + tile, x : x + tile] = kept
        first, second = (encoder(sampler(batch).select(visible)).tiles for batch in (images, other))
        assert torch.equal(first, second)
        assert not torch.allclose(first, encoder(sampler(1 - images).select(visible)).tiles)
