"""Weights of others: matched to the last tensor, told, and equal in what they compute; or refused
with all that is wrong."""

from __future__ import annotations

import argparse
import ssl
import time
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import VisionTransformer

from ssl_patches.encoders import Encoder, create, hub, pretrained
from ssl_patches.types import PatchBatch

VIT = {"depth": 2, "embed_dim": 32, "num_heads": 2, "class_token": True}


def vit(size: int = 32, **given: object) -> Encoder:
    options = {**VIT, **given.pop("options", {})}
    return create(
        name="vit_tiny_patch16_224", image_size=size, patch_size=8, options=options, **given
    )


def stirred(model: nn.Module) -> nn.Module:
    """No weight is what a fresh network has."""
    torch.manual_seed(5)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
    return model.eval()


def timm_vit(size: int = 32) -> nn.Module:
    return stirred(
        timm.create_model(
            "vit_tiny_patch16_224", img_size=size, patch_size=8, num_classes=10, **VIT
        )
    )


def saved(state: object, path: Path) -> str:
    torch.save(state, path)
    return str(path)


def images(size: int = 32, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


def close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-5 * b.abs().max())


@torch.no_grad()
def test_a_vit_of_timm_gives_its_own_tokens_through_whole_images_and_placed_tiles(tmp_path):
    plain = timm_vit()
    encoder = vit(pretrained=saved(plain.state_dict(), tmp_path / "vit.pth")).eval()
    assert "30 of 30 tensors matched; left out: 2 of the head" in encoder.loaded
    expected = plain.forward_features(images())
    found = encoder.features(images())[-1]
    assert close(found.prefix[:, 0], expected[:, 0])
    assert close(found.dense.flatten(2).transpose(1, 2), expected[:, 1:])
    tiles = (
        images().unflatten(-1, (4, 8)).unflatten(-3, (4, 8)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    )
    corner = torch.cartesian_prod(torch.arange(4), torch.arange(4)) * 8
    boxes = torch.cat([corner, torch.full_like(corner, 8)], 1).float().expand(2, -1, 4)
    patches = PatchBatch(
        tiles=tiles,
        boxes=boxes,
        placed=torch.ones(2, 16, dtype=torch.bool),
        size=(32, 32),
        uniform=True,
    )
    assert close(encoder(patches).tiles, expected[:, 1:])


@torch.no_grad()
def test_learned_positions_outlast_a_checkpoint_and_an_export(tmp_path):
    encoder = vit(pretrained=saved(timm_vit().state_dict(), tmp_path / "vit.pth")).eval()
    torch.save(encoder.state_dict(), tmp_path / "checkpoint")
    restored = vit().eval()
    restored.load_state_dict(torch.load(tmp_path / "checkpoint", weights_only=True))
    assert torch.equal(restored.features(images())[0].pooled, encoder.features(images())[0].pooled)
    assert close(restored.export(32)(images()), encoder.features(images())[0].pooled)
    assert not torch.equal(vit().table, restored.table)


@torch.no_grad()
def test_torchvision_vit_resnet_and_convnext_compute_the_same(tmp_path):
    plain = stirred(
        VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=128
        )
    )
    encoder = vit(pretrained=saved(plain.state_dict(), tmp_path / "vit.pth")).eval()
    tokens = torch.cat([plain.class_token.expand(2, -1, -1), plain._process_input(images())], 1)
    assert close(encoder.features(images())[-1].prefix[:, 0], plain.encoder(tokens)[:, 0])
    assert "torchvision ViT" in encoder.loaded

    plain = stirred(resnet18())
    weights = saved(plain.state_dict(), tmp_path / "resnet.pth")
    encoder = create(name="resnet18", image_size=64, pretrained=weights).eval()
    plain.fc = nn.Identity()
    assert close(encoder.features(images(64))[-1].pooled, plain(images(64)))

    blocks = [
        CNBlockConfig(8, 12, 1),
        CNBlockConfig(12, 16, 2),
        CNBlockConfig(16, 20, 1),
        CNBlockConfig(20, None, 1),
    ]
    plain = stirred(ConvNeXt(blocks))
    options = {"depths": [1, 2, 1, 1], "dims": [8, 12, 16, 20]}
    weights = saved(plain.state_dict(), tmp_path / "convnext.pth")
    encoder = create(
        name="convnext_tiny", image_size=64, output_stride=32, options=options, pretrained=weights
    ).eval()
    assert close(encoder.model.stages(encoder.model.stem(images(64))), plain.features(images(64)))
    assert "head.norm norms each position" in encoder.loaded


@torch.no_grad()
def test_mae_drops_its_decoder_and_says_so(tmp_path):
    state = {
        key: value for key, value in timm_vit().state_dict().items() if not key.startswith("head.")
    }
    decoder = {
        "mask_token": torch.zeros(1, 1, 16),
        "decoder_embed.weight": torch.zeros(16, 32),
        "decoder_pos_embed": torch.zeros(1),
    }
    whole = {"model": {**state, **decoder}, "args": argparse.Namespace(lr=0.1), "epoch": 3}
    encoder = vit(pretrained=saved(whole, tmp_path / "mae.pth"))
    assert (
        "facebookresearch/mae, 30 of 30 tensors matched; left out: 3 of the decoder"
        in encoder.loaded
    )


@torch.no_grad()
def test_a_larger_position_table_is_resized_and_that_is_said(tmp_path):
    encoder = vit(pretrained=saved(timm_vit(64).state_dict(), tmp_path / "large.pth"))
    assert "positions resized from 8 x 8 to 4 x 4" in encoder.loaded
    assert encoder.model.pos_embed.shape == (1, 17, 32)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_rgb_weights_are_adapted_to_other_channels_as_timm_does_it(tmp_path, channels):
    plain = timm_vit().state_dict()
    encoder = vit(pretrained=saved(plain, tmp_path / "rgb.pth"), channels=channels)
    assert f"adapted from 3 to {channels} channels" in encoder.loaded
    if channels == 1:
        grey, rgb = images(channels=1), vit(pretrained=str(tmp_path / "rgb.pth"))
        found, expected = (net.model.patch_embed.proj for net in (encoder, rgb))
        assert close(found(grey), expected(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "resnet10t", "convnextv2_atto", "test_efficientnet"]
)
def test_any_number_of_channels_up_to_the_export(name, channels):
    options = {"depth": 1, "embed_dim": 32, "num_heads": 2} if name.startswith("vit") else {}
    encoder = create(name=name, image_size=32, channels=channels, options=options).eval()
    given = images(channels=channels)
    with torch.no_grad():
        assert close(encoder.features(given)[-1].pooled, encoder.export(32)(given))


def test_our_own_export_and_run_are_taken(tmp_path):
    own = vit(options={"class_token": False})
    folder = tmp_path / "run" / "encoder"
    folder.mkdir(parents=True)
    save_file(
        {key: value.contiguous() for key, value in own.export(32).state_dict().items()},
        folder / "model.safetensors",
    )
    for source in (folder, tmp_path / "run", folder / "model.safetensors"):
        encoder = vit(options={"class_token": False}, pretrained=str(source))
        assert torch.equal(
            encoder.model.blocks[1].mlp.fc1.weight, own.model.blocks[1].mlp.fc1.weight
        )
    with pytest.raises(
        ValueError, match=r"1 missing: cls_token; set encoder\.options\.class_token=false"
    ):
        vit(pretrained=str(folder))


class Code:
    def __reduce__(self):
        return print, ("ran",)


def test_what_does_not_fit_is_refused_with_all_of_it_listed(tmp_path, capsys):
    state = timm_vit().state_dict()
    without = {key: value for key, value in state.items() if key != "blocks.1.norm1.bias"}
    for content, message in [
        (without, "1 missing: blocks.1.norm1.bias"),
        ({**state, "extra.weight": torch.zeros(1)}, "1 unexpected: extra.weight"),
        (
            {**state, "norm.bias": torch.zeros(5)},
            r"1 of another shape: norm.bias \(5,\) for \(32,\)",
        ),
        ({"model": Code()}, "must hold tensors only"),
        ([1, 2], "must hold a state dict"),
    ]:
        with pytest.raises(ValueError, match=message):
            vit(pretrained=saved(content, tmp_path / "bad.pth"))
    assert "ran" not in capsys.readouterr().out
    with pytest.raises(
        ValueError, match=r"1 unexpected: cls_token; set encoder\.options\.class_token=true"
    ):
        vit(options={"class_token": False}, pretrained=saved(state, tmp_path / "cls.pth"))
    with pytest.raises(ValueError, match="no such file"):
        vit(pretrained=str(tmp_path / "nothing.pth"))


def test_weights_of_timm_that_cannot_be_reached_are_a_bad_request(monkeypatch):
    make = timm.create_model

    def unreachable(*names: str, pretrained: bool = False, **given: object) -> nn.Module:
        if pretrained:
            raise OSError("no route to host")
        return make(*names, pretrained=pretrained, **given)

    monkeypatch.setattr(hub, "ask_hub", lambda: None)
    monkeypatch.setattr(pretrained.timm, "create_model", unreachable)
    with pytest.raises(
        ValueError,
        match=r"encoder\.pretrained=true: timm's weights of .* \(no route to host\); name a file",
    ):
        vit(pretrained=True)


def test_without_a_network_the_answer_comes_at_once(tmp_path, monkeypatch):
    """The hub's client by itself would try for two minutes."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    began = time.monotonic()
    with pytest.raises(
        ValueError, match=r"encoder\.pretrained=true: timm's weights of .* cannot be had"
    ):
        vit(pretrained=True)
    assert time.monotonic() - began < 20


def test_weights_in_the_cache_are_taken_without_a_network(tmp_path, monkeypatch):
    known = timm.get_pretrained_cfg("test_vit")
    folder = tmp_path / f"models--{known.hf_hub_id.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    state = timm.create_model("test_vit", num_classes=known.num_classes).state_dict()
    save_file(state, folder / "snapshots" / ("0" * 40) / "model.safetensors")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    encoder = create(
        name="test_vit", image_size=160, options={"class_token": True}, pretrained=True
    )
    assert torch.equal(encoder.model.blocks[0].attn.qkv.weight, state["blocks.0.attn.qkv.weight"])


@pytest.mark.parametrize(
    "answer", [HTTPError("", 403, "no", Message(), None), URLError(ssl.SSLError())]
)
def test_a_hub_that_answers_anything_is_left_to_its_client(answer, monkeypatch):
    def answered(*_: object, **__: object) -> None:
        raise answer

    monkeypatch.setattr(hub, "urlopen", answered)
    hub.ask_hub()
