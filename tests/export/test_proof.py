"""A proof compares, and says what differs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from networks import write
from small import REPOSITORY

from ssl_patches.encoders.exported import ExportMismatch, read_card
from ssl_patches.export import proof, reload, verify
from ssl_patches.export import write as writing
from ssl_patches.export.proof import Proof, _allowed, _largest
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
    assert _largest(found(2e-5), "timm", 1e-5) == 1e-5  # just what is allowed


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


def test_only_a_network_that_float32_computes_less_exactly_may_differ_by_more(
    tmp_path, monkeypatch
):
    """And verify holds it to the same; a card may not ask for more than ten times the usual."""
    usual = TOLERANCES["fp32"]
    monkeypatch.setattr(proof, "_in_another_process", lambda *_: found(3 * usual * 2.0))
    monkeypatch.setattr(writing, "tolerance_of", lambda *_: 4 * usual)
    made = write("vit", tmp_path / "made")
    assert made.largest_relative_difference == pytest.approx(3 * usual)
    assert verify(tmp_path / "made").formats == made.formats
    assert _allowed(read_card(tmp_path / "made")) == 4 * usual
    assert _allowed({"proof": {"tolerance": 1.0}}) == pytest.approx(10 * usual)
    for odd in ({}, {"proof": 3}, {"proof": {"tolerance": "x"}}, {"proof": {"tolerance": 0.0}}):
        assert _allowed(odd) == usual
    monkeypatch.setattr(writing, "tolerance_of", lambda *_: 2 * usual)
    with pytest.raises(ExportMismatch, match="reloaded features differ"):
        write("vit", tmp_path / "not")


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


class FakeReference:
    """A reference of three images at two sizes, as ``compare_formats`` uses one."""

    count, sizes = 3, ((32, 48), (24, 24))

    def with_images(self, path, count):
        path.write_text(str(count))


@pytest.fixture
def process(tmp_path, monkeypatch):
    """``process(CODE)``: what a process of a proof runs from now on."""

    def install(code: str) -> None:
        file = tmp_path / "reload.py"
        file.write_text(f"import json, os, sys\nform, directory, reference = sys.argv[1:4]\n{code}")
        monkeypatch.setattr(proof, "RELOAD", file)

    return install


TOLD = "each = {'size': [8, 8], 'output': 'pooled', 'difference': %s, 'scale': 2.0}\n"
PRINT = "print(json.dumps({'found': [each], 'isolated': True}))\n"


def test_each_format_is_compared_in_a_process_of_its_own_that_is_isolated(process, tmp_path):
    process(
        "print('a library says hello')\n"
        + TOLD % "{'timm': 2e-6, 'onnx': 4e-6}[form]"
        + "assert sys.flags.isolated and os.path.isabs(directory)\n"
        "assert open(reference).read() == '3' and os.getcwd() == os.path.dirname(reference)\n"
        "assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "assert any(os.path.isdir(os.path.join(site, 'torch')) for site in sys.argv[4:])\n" + PRINT
    )
    told = proof.compare_formats(tmp_path, ("timm", "onnx"), FakeReference(), 1e-5)
    each = {"timm": 1e-6, "onnx": 2e-6}
    assert told == Proof(2e-6, 3, True, FakeReference.sizes, each)


def test_features_that_are_equal_differ_by_nothing(process, tmp_path):
    process(TOLD % "0.0" + PRINT)
    assert proof.compare_formats(tmp_path, ["timm"], FakeReference(), 1e-5) == Proof(
        0.0, 3, True, FakeReference.sizes, {"timm": 0.0}
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('{}')\nsys.stderr.write('first\\nlast words\\n')\nsys.exit(3)", "own: last words$"),
        ("sys.exit(3)", "own: exit code 3$"),
        ("raise KeyError('lost')", "own: KeyError: 'lost'$"),
    ],
)
def test_a_process_that_ends_with_an_error_proves_nothing(code, said, process, tmp_path):
    process(code)
    with pytest.raises(
        ExportMismatch, match=f"export: onnx does not load in a process of its {said}"
    ):
        proof.compare_formats(tmp_path, ["onnx"], FakeReference(), 1e-5)


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"formats": {}},
        {"formats": {"timm": {}, "pickle": {}}},
        {"formats": {"pickle": {}}},
        {"formats": {"timm": {}}, "precision": "int8"},
    ],
)
def test_a_card_with_other_formats_than_ours_is_refused(card):
    with pytest.raises(ExportMismatch, match="names formats or a precision that ssl-patches does"):
        proof._check_card(EXPORT, card)


def test_every_format_that_a_card_names_is_checked_before_it_is_opened(monkeypatch):
    seen = []
    checks = {name: lambda folder, name=name: seen.append((name, folder)) for name in proof.CHECKS}
    monkeypatch.setattr(proof, "CHECKS", checks)
    proof._check_card(EXPORT, {"formats": {"timm": {}, "onnx": {}, "torch_export": {}}})
    assert seen == [(name, EXPORT) for name in ("timm", "onnx", "torch_export")]


@pytest.mark.parametrize("name", ["timm", "onnx", "torch_export"])
def test_a_format_whose_file_is_not_there_is_refused(name, tmp_path):
    (tmp_path / "ssl_patches.json").write_text('{"files": {}}')
    with pytest.raises(ExportMismatch):
        proof.CHECKS[name](tmp_path)


def test_a_format_whose_file_has_changed_is_refused(tmp_path):
    folder = shutil.copytree(EXPORT, tmp_path / "export")
    proof._check_onnx(folder)
    (folder / "encoder.onnx").write_bytes(b"others")
    with pytest.raises(ExportMismatch, match=r"encoder\.onnx has changed"):
        verify(folder)


def test_where_a_network_takes_one_size_only_that_is_said():
    one, two = (
        Proof(0.0, 4, True, sizes, {"timm": 0.0}).lines()[0]
        for sizes in (((32, 32),), ((32, 32), (8, 8)))
    )
    assert "32 x 32 px (the only size that this network takes)" in one
    assert "only" not in two


def test_an_onnx_file_is_not_verified_without_onnxruntime(monkeypatch):
    monkeypatch.setattr(proof.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"needs onnxruntime to be verified; install ssl-patches"):
        verify(EXPORT)
