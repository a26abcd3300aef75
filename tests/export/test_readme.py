"""The model card says what a stranger needs, and nothing that is not known."""

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
