"""The model card says what a stranger needs, and nothing that is not known."""

from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ssl_patches.data.decode import decode
from ssl_patches.data.preprocess import Preprocess
from ssl_patches.export.readme import readme

CARD = {
    "architecture": "resnet18",
    "features": 512,
    "formats": {"timm": "model.safetensors", "onnx": "encoder.onnx"},
    "license": None,
    "other_sizes": None,
    "precision": "fp32",
    "preprocessing": {
        "channels": 1,
        "height": 32,
        "width": 32,
        "graph_input": "float32",
        "interpolation": "bicubic",
        "resize_shorter_side": 32,
        "mean": [0.5],
        "std": [0.25],
    },
    "proof": {"images": 64, "sizes": [[32, 32]], "formats": {"timm": 1e-6}, "tolerance": 1e-5},
}


def test_what_is_not_known_is_not_stated():
    text = readme(CARD)
    assert "license:" not in text
    assert "* Licence: not stated" in text
    assert "Not evaluated." in text
    assert "Other image sizes: none" in text


def test_formats_results_and_channels_are_shown():
    row = {"model": "trained", "metric": "knn20_top1", "value": 37.126}
    text = readme({**CARD, "results": [row], "license": "mit"})
    assert "license: mit\n" in text
    assert '.convert("L")' in text
    assert "| trained | knn20_top1 | 37.13 |" in text
    assert "## timm" in text
    assert "## ONNX" in text
    assert "## torch.export" not in text
    assert all("\\\n" not in line for line in text.splitlines())


def blocks(text: str) -> dict[str, Any]:
    """What the first lines of a card define, run as they stand."""
    found: dict[str, Any] = {}
    exec(text.split("```python")[1].split("```")[0], found)
    return found


def card(channels: int, stored_range: list[float] | None) -> dict[str, Any]:
    images = {"channels": channels, "mean": [0.5] * channels, "std": [0.25] * channels}
    images |= {"stored_range": stored_range, "height": 12, "width": 12}
    return {**CARD, "preprocessing": {**CARD["preprocessing"], **images}}


@pytest.mark.parametrize("stored_range", [None, [0, 4095]])
@pytest.mark.parametrize("channels", [1, 3])
def test_its_lines_open_images_as_they_were_trained_on(tmp_path, channels, stored_range):
    text = readme(card(channels, stored_range))
    assert stored_range is None or "0 is black and 4095 is white" in text
    opened = blocks(text)["opened"]
    deep = np.random.default_rng(0).integers(0, 4096, (12, 12, 3)).astype(np.uint16)
    flat = (deep // 16).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(deep[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(flat).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "inks.tif")
    Image.fromarray(np.concatenate([flat, flat[..., :1]], -1)).save(tmp_path / "clear.png")
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    np.save(tmp_path / "deep.npy", deep if channels == 3 else deep[..., 0])
    for path in tmp_path.iterdir():
        found = np.asarray(opened(path)).reshape(12, 12, channels).transpose(2, 0, 1)
        want = decode(str(path), channels=channels, size=12, value_range=stored_range)
        assert np.abs(found.astype(int) - want.int().numpy()).max() <= 1, path.name


def test_its_lines_prepare_any_number_of_channels():
    values = np.random.default_rng(0).integers(0, 4096, (5, 20, 30)).astype(np.uint16)
    found = blocks(readme(card(5, [0, 4095])))["prepared"](values)
    preprocess = Preprocess(image_size=12, mean=[0.5] * 5, std=[0.25] * 5, value_range=(0, 4095))
    assert (found - preprocess(torch.from_numpy(values))).abs().max() < 0.5 / 255 / 0.25 + 1e-5
