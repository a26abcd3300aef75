"""Write an encoder to a folder: aside, proven, and only then under its name."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl_patches.config.messages import nearest
from ssl_patches.config.plain_text import as_utf8
from ssl_patches.encoders import exported
from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.exported import (
    CARD,
    README,
    ExportMismatch,
    as_json,
    check_hashes,
    read_card,
)
from ssl_patches.encoders.network import Preprocessing
from ssl_patches.export import graphs, timm_folder
from ssl_patches.export.card import write_card
from ssl_patches.export.exportable import Exportable, ExportRequest
from ssl_patches.export.own_rounding import tolerance_of
from ssl_patches.export.proof import Proof, compare_formats
from ssl_patches.export.readme import readme
from ssl_patches.export.reference import IMAGES, REFERENCE, Reference, reference_of
from ssl_patches.export.rounding import DTYPES, TOLERANCES
from ssl_patches.export.staging import check_free, staged

FILES = {"timm": exported.WEIGHTS, "onnx": graphs.ONNX, "torch_export": graphs.TORCH_EXPORT}
"""The formats, and the file that holds the weights of each."""


def check_wanted(wanted: ExportRequest) -> None:
    """Refuse a request, by ValueError, before anything is computed."""
    if not wanted.formats:
        raise ValueError(f"formats=[]: must name one at least; choose among: {', '.join(FILES)}")
    for name in wanted.formats:
        if name not in FILES:
            raise ValueError(f"formats=[{name}]: no such format; {nearest(name, list(FILES))}")
    for key, known in (("precision", DTYPES), ("input", ("float32", "uint8", "uint16"))):
        if vars(wanted)[key] not in known:
            raise ValueError(
                f"{key}={vars(wanted)[key]}: must be one of {', '.join(known)}; set"
                f" {key}={next(iter(known))}"
            )
    if wanted.input != "float32" and set(wanted.formats) == {"timm"}:
        raise ValueError(
            f"input={wanted.input}: is for graphs, timm's models take normalised images; set"
            " formats=[timm,onnx], or take it out"
        )


def export_encoder(
    encoder: Encoder,
    directory: Path,
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    card: Mapping[str, Any],
    stored_range: Sequence[float] | None = None,
    calibration: Iterable[Tensor] | None = None,
    wanted: ExportRequest | None = None,
    overwrite: bool = False,
) -> Proof:
    """Write the formats of ``wanted`` (timm by default) and prove them.

    ``encoder`` stays as it is.
    ``encoder`` also has ``architecture`` and ``arguments``, timm's. ``mean``, ``std``: per channel,
    of pixels in 0..1. ``stored_range``: ``data.value_range`` of the run. ``calibration``: batches
    (B, C, H, W), normalised, of whole images, on the encoder's device. ValueError for a bad
    argument or a used ``directory``; ExportMismatch where a format differs.
    """
    check_free(Path(directory), overwrite=overwrite, mark=CARD)
    encoder = copy.deepcopy(encoder)
    if calibration is not None:
        encoder.calibrate(calibration)
    traits: Any = encoder  # timm's name and arguments, which are no part of the base class
    exportable = Exportable(
        model=encoder.export(image_size).cpu(),
        architecture=traits.architecture,
        arguments=traits.arguments,
        preprocessing=Preprocessing(
            image_size=image_size, mean=mean, std=std, stored_range=stored_range
        ),
    )
    return export_model(
        exportable, directory, wanted=wanted or ExportRequest(), card=card, overwrite=overwrite
    )


def export_model(
    exportable: Exportable,
    directory: Path,
    *,
    wanted: ExportRequest,
    card: Mapping[str, Any],
    overwrite: bool = False,
) -> Proof:
    """Export a plain timm model like ``export_encoder``: the same folder, the same proof.

    ValueError for a bad argument or a used ``directory``; ExportMismatch where a format differs.
    """
    check_wanted(wanted)
    if wanted.input == "uint16":
        _check_uint16(exportable.preprocessing)
    as_json(dict(card), "export.card")
    with staged(directory, overwrite=overwrite, mark=CARD) as folder:
        exportable = exportable.resized(wanted.image_size or exportable.preprocessing.image_size)
        config = timm_folder.timm_config(exportable)
        reference = reference_of(exportable, IMAGES)
        reference.save(folder / REFERENCE)
        write_formats(folder, exportable, wanted)
        proof, tolerance = _proven(folder, exportable, wanted, reference)
        content = {
            **card,
            "license": wanted.license,
            "architecture": config["architecture"],
            "arguments": config["model_args"],
            "features": config["num_features"],
            "preprocessing": exportable.preprocessing.said(graph_input=wanted.input),
            "precision": wanted.precision,
            "formats": {name: FILES[name] for name in proof.formats},
            "other_sizes": f"multiples of {exportable.unit} px" if exportable.any_size else None,
            "proof": {**asdict(proof), "tolerance": tolerance},
        }
        _write_readme_and_card(folder, content)
    return proof


def _proven(
    folder: Path, exportable: Exportable, wanted: ExportRequest, reference: Reference
) -> tuple[Proof, float]:
    """Prove the formats; return the proof and the tolerance that it was held to.

    Only where a format differs by more than is usual is asked how exact the network itself is: that
    takes a pass in float64. ExportMismatch where a format differs by more than that explains.
    """
    formats, usual = list(dict.fromkeys(wanted.formats)), TOLERANCES[wanted.precision]
    try:
        return compare_formats(folder, formats, reference, usual), usual
    except ExportMismatch:
        tolerance = tolerance_of(exportable, usual) if wanted.precision == "fp32" else usual
        if tolerance <= usual:
            raise
    return compare_formats(folder, formats, reference, tolerance), tolerance


def _check_uint16(images: Preprocessing) -> None:
    """Raise ValueError where whole numbers of 16 bits cannot hold what was trained on."""
    low, high = images.whole_range
    if not (low >= 0 and high <= 65535 and high - low >= 255):
        raise ValueError(
            f"input=uint16: the encoder was trained with data.value_range=[{low:g},{high:g}], which"
            " needs 255 steps or more within 0..65535; set input=float32"
        )


def write_formats(folder: Path, exportable: Exportable, wanted: ExportRequest) -> None:
    """Write the files of each format. ValueError where the architecture cannot take one."""
    if "timm" in wanted.formats:
        timm_folder.write(folder, exportable, precision=wanted.precision)
    graphs.write_graphs(folder, exportable, wanted)


def add_results(directory: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Put evaluation results into an export's card; a reader sees the old folder or the new one."""
    directory = Path(directory)
    check_hashes(directory)
    card = {key: value for key, value in read_card(directory).items() if key != "files"}
    with staged(directory, overwrite=True, mark=CARD) as folder:
        for path in directory.iterdir():
            if path.name not in (CARD, README):
                shutil.copy2(path, folder / path.name)
        _write_readme_and_card(folder, {**card, "results": list(results)})


def _write_readme_and_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write the README, and the card last, because it holds the hashes."""
    (folder / README).write_text(as_utf8(readme(card)), encoding="utf-8")
    write_card(folder, card)
