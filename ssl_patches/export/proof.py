"""Prove an export: a process that knows nothing of us must get the same numbers from it.

The trained model says what it makes of reference images in this process; ``reload.py`` loads each
format in another one that cannot import ssl_patches, and says how far off its features are. The
outputs are kept in the folder, so that ``verify`` can prove it again years later, without the run.

Trap: weights that load are not yet weights that work (``strict=False``, random initialisation, a
lost ``output_stride``), so features are compared, on images that reach every part of the network.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ssl_patches.encoders.exported import (
    CARD,
    ExportMismatch,
    check_hashes,
    check_timm_config,
    read_card,
)
from ssl_patches.export.graphs import ONNX, TORCH_EXPORT
from ssl_patches.export.pt2 import check_archive
from ssl_patches.export.reference import REFERENCE, Reference, load_reference
from ssl_patches.export.rounding import MOST, TOLERANCES

RELOAD = Path(__file__).with_name("reload.py")
TIMEOUT = 3600  # seconds; a proof takes some, but a large model on one busy core takes many


@dataclass(frozen=True, slots=True)
class Proof:
    """The differences that a proof found.

    A difference is ``max |difference| / max |reference|`` over all images of a size, pooled or
    dense.
    ``formats``: the largest of each; ``sizes``: height and width of the images, as many of each as
    ``images`` says.
    """

    largest_relative_difference: float
    images: int
    isolated: bool
    sizes: tuple[tuple[int, int], ...] = ()
    formats: dict[str, float] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Describe the proof for people, a line per format."""
        sizes = ", ".join(f"{height} x {width}" for height, width in self.sizes)
        only = "" if len(self.sizes) > 1 else " (the only size that this network takes)"
        return [
            f"{name:13} {self.images} images of {sizes} px{only}: largest difference"
            f" {difference:.1e} of the largest feature"
            for name, difference in self.formats.items()
        ]


def verify(directory: Path) -> Proof:
    """Prove an export again from the outputs that it carries.

    ValueError when it is no export or carries none; ExportMismatch when a file has changed or a
    format differs.
    """
    directory = Path(directory)
    check_hashes(directory)
    card = read_card(directory)
    _check_card(directory, card)
    if "onnx" in card.get("formats", ()) and importlib.util.find_spec("onnxruntime") is None:
        raise ValueError(
            f"model={directory}: its ONNX file needs onnxruntime to be verified; install"
            " ssl-patches[export]"
        )
    return compare_formats(
        directory,
        card.get("formats", ()),
        load_reference(directory),
        _allowed(card),
    )


def _allowed(card: Mapping[str, Any]) -> float:
    """Return the tolerance of an export: the usual one, or what its network was measured to need.

    A card may ask for ``MOST`` times the usual one, and no more.
    """
    usual = TOLERANCES[card.get("precision", "fp32")]
    proof = card.get("proof")
    said = proof.get("tolerance") if isinstance(proof, Mapping) else None
    return min(max(usual, said), MOST * usual) if isinstance(said, float) and said > 0 else usual


def _check_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Refuse, by ExportMismatch, formats that are not ours and files that could run code."""
    formats, precision = card.get("formats"), card.get("precision", "fp32")
    if not formats or not set(formats) <= set(CHECKS) or precision not in TOLERANCES:
        raise ExportMismatch(
            f"{directory}: {CARD} names formats or a precision that ssl-patches does not write;"
            " export again"
        )
    for name in formats:
        CHECKS[name](directory)


def _check_onnx(directory: Path) -> None:
    check_hashes(directory, [ONNX])


CHECKS: Mapping[str, Callable[[Path], object]] = MappingProxyType(
    {
        "timm": check_timm_config,
        "onnx": _check_onnx,
        "torch_export": lambda directory: check_archive(directory / TORCH_EXPORT),
    }
)
"""What is checked of each format before its library opens the file."""


def compare_formats(
    directory: Path, formats: Sequence[str], reference: Reference, tolerance: float
) -> Proof:
    """Compare each format in ``directory``, in a process of its own, with ``reference``.

    ExportMismatch where one differs by more than ``tolerance``, relative to the largest feature.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        path = Path(elsewhere) / REFERENCE
        reference.with_images(path, reference.count)
        found = {
            name: _largest(
                _in_another_process(name, Path(directory).resolve(), path), name, tolerance
            )
            for name in formats
        }
    return Proof(max(found.values()), reference.count, True, reference.sizes, found)


def _largest(found: dict[str, Any], form: str, tolerance: float) -> float:
    if not found["isolated"]:
        raise ExportMismatch(
            "export: ssl_patches could be imported where it was to be absent, so nothing is proven"
        )
    largest = 0.0
    for each in found["found"]:
        comparable = 0 < each["scale"] < math.inf
        relative = each["difference"] / each["scale"] if comparable else math.nan
        if not relative <= tolerance:  # also true of nan
            height, width = each["size"]
            raise ExportMismatch(
                f"export: reloaded features differ by {each['difference']:.3g} where the largest is"
                f" {each['scale']:.3g}: {relative:.3g} of it, and {tolerance:.3g} is allowed"
                f" ({form}, {each['output']}, {height} x {width} px)"
            )
        largest = max(largest, relative)
    return largest


def _in_another_process(form: str, directory: Path, reference: Path) -> dict[str, Any]:
    # isolated mode ignores PYTHONPATH and `pip install --user`, where torch and timm may well lie
    needed = ("torch", "timm", "safetensors", "numpy", "onnxruntime")
    sites = [
        folder
        for folder in sys.path
        if folder and any((Path(folder) / name).is_dir() for name in needed)
    ]
    done = subprocess.run(
        [sys.executable, "-I", str(RELOAD), form, str(directory), str(reference), *sites],
        cwd=reference.parent,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ExportMismatch(f"export: {form} does not load in a process of its own: {last}")
    return json.loads(done.stdout.splitlines()[-1])
