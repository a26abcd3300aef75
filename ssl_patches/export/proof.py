"""Nothing is called an export before a stranger's process got the same numbers from it.

The trained model says what it makes of reference images in this process; ``reload.py`` loads the folder in another one
that cannot import ssl_patches, and says how far off its features are. The outputs are kept in the folder, so that
``verify`` can prove it again years later, without the run.

Traps: weights that load are not yet weights that work (``strict=False``, random initialisation, a lost
``output_stride``), so features are compared, on images that reach every part of the network. A run that allowed
reduced float32 precision would blame the export for its own rounding.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_patches.encoders.base import Encoder
from ssl_patches.export.staging import staged
from ssl_patches.export.timm_folder import (
    CARD,
    CONFIG,
    ExportMismatch,
    check_hashes,
    timm_config,
    write_card,
    write_files,
)

RELOAD = Path(__file__).with_name("reload.py")
REFERENCE = "reference.npz"
TOLERANCE = 1e-5
IMAGES = 64
BATCH = 16
TIMEOUT = 3600  # seconds; a proof takes some, but a large model on one busy core takes many


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found. ``largest_relative_difference``: max |difference| / max |reference|, over all features."""

    largest_relative_difference: float
    images: int
    isolated: bool


def reference_images(count: int, channels: int, size: int) -> Tensor:
    """(count, channels, size, size) normalised float32, the same for ever: flat, ramps, checks, a dot, then noise."""
    noise = np.random.RandomState(0)  # its stream is frozen; numpy's and torch's newer generators promise none
    line = np.linspace(-2, 2, size, dtype=np.float32)
    rows, cols = np.meshgrid(line, line, indexing="ij")
    checks = (np.indices((size, size)).sum(0) % 2) * 2.0 - 1.0
    dot = np.zeros((size, size))
    dot[size // 3, size // 2] = 4
    structured = [np.zeros((size, size)), np.ones((size, size)), rows, cols, rows * cols, checks, dot]
    images = noise.standard_normal((count, channels, size, size))
    for index, picture in enumerate(structured[: count // 2]):
        images[index] = picture  # the same in all channels
    return torch.from_numpy(images.astype(np.float32))


@contextmanager
def full_precision() -> Iterator[None]:
    """float32 products in float32 on the CPU, whatever ``torch.set_float32_matmul_precision`` a run has chosen."""
    backends = (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def outputs_of(model: nn.Module, images: Tensor) -> Tensor:
    """(N, dim) features of a copy of ``model`` in eval mode on the CPU; ``model`` itself stays as it is."""
    model = copy.deepcopy(model).cpu().float().eval()
    with full_precision():
        return torch.cat([model(batch) for batch in images.split(BATCH)])


def prove(
    directory: Path,
    model: nn.Module,
    *,
    image_size: int,
    channels: int,
    images: int = IMAGES,
    tolerance: float = TOLERANCE,
) -> Proof:
    """Compare the export in ``directory`` with ``model``. ExportMismatch, with figures, where they differ by more."""
    check_hashes(directory)
    inputs = reference_images(images, channels, image_size)
    return compare(directory, inputs, outputs_of(model, inputs), tolerance)


def verify(directory: Path, *, tolerance: float = TOLERANCE) -> Proof:
    """Prove an export again from the outputs that it carries. ValueError when it carries none, else as ``prove``."""
    directory = Path(directory)
    check_hashes(directory)
    if not (directory / REFERENCE).is_file():
        raise ValueError(f"model={directory}: must hold {REFERENCE} to be verified and does not; export it again")
    channels, size, _ = json.loads((directory / CONFIG).read_text(encoding="utf-8"))["pretrained_cfg"]["input_size"]
    with np.load(directory / REFERENCE, allow_pickle=False) as stored:
        outputs = torch.from_numpy(stored["outputs"])
    return compare(directory, reference_images(len(outputs), channels, size), outputs, tolerance)


def compare(directory: Path, inputs: Tensor, outputs: Tensor, tolerance: float) -> Proof:
    """What ``reload.py`` finds in ``directory`` against ``outputs`` (N, dim) of ``inputs`` (N, C, H, W)."""
    if not torch.isfinite(outputs).all() or not outputs.any():
        raise ExportMismatch(
            "export: the trained model gives all zeros or numbers that are not finite, so there is nothing to compare"
        )
    with tempfile.TemporaryDirectory() as elsewhere:
        reference = Path(elsewhere) / REFERENCE
        np.savez(reference, images=inputs.numpy(), outputs=outputs.numpy())
        found = _in_another_process(Path(directory).resolve(), reference)
    largest = found["largest_difference"] / found["scale"]
    if not found["isolated"]:
        raise ExportMismatch("export: ssl_patches could be imported where it was to be absent, so nothing is proven")
    if not largest <= tolerance:  # also true of nan
        raise ExportMismatch(
            f"export: reloaded features differ by {found['largest_difference']:.3g} where the largest is "
            f"{found['scale']:.3g}: {largest:.3g} of it, and {tolerance:.3g} is allowed ({len(inputs)} images, "
            f"timm {found['timm']}, torch {found['torch']})"
        )
    return Proof(largest, len(inputs), found["isolated"])


def _in_another_process(directory: Path, reference: Path) -> dict[str, Any]:
    # isolated mode ignores PYTHONPATH and `pip install --user`, where torch and timm may well lie
    needed = ("torch", "timm", "safetensors", "numpy")
    sites = [folder for folder in sys.path if folder and any((Path(folder) / name).is_dir() for name in needed)]
    done = subprocess.run(
        [sys.executable, "-I", str(RELOAD), str(directory), str(reference), *sites],
        cwd=reference.parent,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ExportMismatch(f"export: does not load in a process of its own: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def export_encoder(
    encoder: Encoder,
    directory: Path,
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    card: Mapping[str, Any],
    calibration: Iterable[Tensor] | None = None,
    overwrite: bool = False,
) -> Proof:
    """Write the timm folder of ``encoder`` and prove it before it gets its name; ``encoder`` stays as it is.

    ``encoder`` also has ``architecture`` and ``arguments``, timm's. ``calibration``: batches (B, C, H, W), normalised,
    of whole images, on the encoder's device. ValueError for a bad argument or a used ``directory``; ExportMismatch.
    """
    with staged(directory, overwrite=overwrite, mark=CARD) as folder:
        encoder = copy.deepcopy(encoder)
        if calibration is not None:
            encoder.calibrate(calibration)
        model = encoder.export(image_size).cpu()
        size = (len(mean), image_size, image_size)
        config = timm_config(model, encoder.architecture, encoder.arguments, size=size, mean=mean, std=std)
        write_files(folder, model, config, card)
        inputs = reference_images(IMAGES, len(mean), image_size)
        outputs = outputs_of(model, inputs)
        np.savez(folder / REFERENCE, outputs=outputs.numpy())
        proof = compare(folder, inputs, outputs, TOLERANCE)
        write_card(folder, {**card, "proof": {**asdict(proof), "tolerance": TOLERANCE}})
    return proof
