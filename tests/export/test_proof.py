"""A proof compares, and says what differs."""

import pytest

from ssl_patches.encoders.exported import ExportMismatch
from ssl_patches.export.proof import Proof, _largest


def found(*differences, isolated=True):
    each = [
        {"size": [32, 48], "output": "dense", "difference": value, "scale": 2.0}
        for value in differences
    ]
    return {"found": each, "isolated": isolated}


def test_the_largest_difference_counts_relative_to_the_largest_feature():
    assert _largest(found(1e-6, 4e-6), "timm", 1e-5) == 2e-6


@pytest.mark.parametrize("value", [1e-3, float("nan")])
def test_what_differs_is_named_with_its_format_and_size(value):
    with pytest.raises(ExportMismatch, match=r"onnx, dense, 32 x 48 px"):
        _largest(found(value), "onnx", 1e-5)


def test_a_process_that_could_import_us_proves_nothing():
    with pytest.raises(ExportMismatch, match="nothing is proven"):
        _largest(found(0.0, isolated=False), "timm", 1e-5)


def test_a_line_per_format_tells_images_and_sizes():
    lines = Proof(2e-6, 64, True, ((32, 32), (24, 24)), {"timm": 1e-6, "onnx": 2e-6}).lines()
    assert [line.split()[0] for line in lines] == ["timm", "onnx"]
    assert "64 images of 32 x 32, 24 x 24 px: largest difference 2.0e-06" in lines[1]
