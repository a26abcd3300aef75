"""A proof compares, and says what differs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from networks import write
from small import REPOSITORY

from ssl_patches.encoders.exported import ExportMismatch
from ssl_patches.export import proof, reload, verify
from ssl_patches.export.proof import Proof, _largest
from ssl_patches.export.rounding import TOLERANCES

EXPORT = REPOSITORY / "tests" / "fixtures" / "before_move" / "export"


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


def test_the_tolerances_are_these():
    """Who changes them says why: an export of fp32 weights is equal up to rounding."""
    assert TOLERANCES == {"fp32": 1e-5, "fp16": 5e-3, "bf16": 5e-2}


@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_difference_just_above_the_tolerance_is_no_proof(precision):
    tolerance, scale = TOLERANCES[precision], 2.0
    assert _largest(found(0.99 * tolerance * scale), "timm", tolerance) < tolerance
    with pytest.raises(ExportMismatch, match="is allowed"):
        _largest(found(0.0, 1.01 * tolerance * scale), "timm", tolerance)


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_export_and_verify_hold_every_format_to_the_tolerance_of_its_precision(
    share, tmp_path, monkeypatch
):
    folder = shutil.copytree(EXPORT, tmp_path / "export")
    for precision in ("fp32", "fp16"):
        difference = share * TOLERANCES[precision] * 2.0
        monkeypatch.setattr(proof, "_in_another_process", lambda *_, by=difference: found(by))
        ask = {
            "fp32": lambda: verify(folder),
            "fp16": lambda: write("vit", tmp_path / "fp16", precision="fp16"),
        }[precision]
        if share < 1:
            assert ask().largest_relative_difference == pytest.approx(difference / 2.0)
        else:
            with pytest.raises(ExportMismatch, match="reloaded features differ"):
                ask()
            assert not (tmp_path / "fp16").exists()


@pytest.mark.parametrize("values", [[0.0, float("nan")], [float("nan"), 0.0], [float("inf")]])
def test_no_number_that_is_not_finite_is_a_proof_wherever_it_stands(values):
    with pytest.raises(ExportMismatch, match="reloaded features differ"):
        _largest(found(*values), "timm", 1e-5)


@pytest.mark.parametrize("scale", [0.0, float("inf"), float("nan")])
def test_a_reference_of_zeros_or_infinities_proves_nothing(scale):
    each = {"size": [32, 48], "output": "dense", "difference": 0.0, "scale": scale}
    with pytest.raises(ExportMismatch, match="reloaded features differ"):
        _largest({"found": [each], "isolated": True}, "timm", 1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("output", ["pooled", "dense"])
def test_one_value_that_is_not_finite_shows_in_what_a_process_finds(
    output, value, tmp_path, monkeypatch
):
    pooled, dense = np.ones((3, 4), np.float32), np.ones((3, 4, 2, 2), np.float32)
    arrays = {
        "sizes": np.array([[8, 8]]),
        "images_8x8": np.zeros((3, 3, 8, 8), np.uint8),
        "at_8x8": np.arange(16),
        "shape_8x8": np.array([4, 2, 2]),
        "pooled_8x8": pooled,
        "dense_8x8": dense.reshape(3, -1),
    }
    np.savez(tmp_path / "reference.npz", **arrays)

    def run(images):
        given = {"pooled": pooled[: len(images)].copy(), "dense": dense[: len(images)].copy()}
        given[output].flat[1] = value
        return given["pooled"], given["dense"]

    monkeypatch.setitem(reload.READERS, "timm", lambda _: run)
    told = reload.differences("timm", "unused", str(tmp_path / "reference.npz"))
    with pytest.raises(ExportMismatch, match=f"timm, {output}"):
        _largest(told | {"isolated": True}, "timm", 1e-5)
