"""Write the model card: what a stranger needs to use the folder, in the order of need.

Trap: a path of the machine that wrote it. The folder is moved and uploaded, so the lines name a
placeholder, or the repository of the hub that it is pushed to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_patches.data.build import data_name
from ssl_patches.export.readme_code import (
    AT_HOME,
    BANDS,
    ON_THE_HUB,
    ONNX,
    PICTURES,
    PREPARED,
    TIMM,
    TORCH_EXPORT,
    TRANSFORM,
)

COLUMNS = ("model", "data", "metric", "value", "low", "high", "n")

PARTS = {"timm": TIMM, "onnx": ONNX, "torch_export": TORCH_EXPORT}


def readme(card: Mapping[str, Any], hub: str | None = None) -> str:
    """Write Markdown with a YAML head from the card of ``export_model``.

    ``hub``: USER/NAME of the repository that it is for; None: a folder anywhere.
    """
    images = card["preprocessing"]
    channels, height, width = images["channels"], images["height"], images["width"]
    pictured = channels in (1, 3)
    parts = "\n".join(
        PARTS[name].format(
            features=card["features"],
            input=_graph_input(images),
            transform=TRANSFORM if pictured else PREPARED,
            source=f"hf-hub:{hub}" if hub else "local-dir:path/to/this/folder",
            place=hub or "path/to/this/folder",
            further=ON_THE_HUB.format(source=f"hf-hub:{hub}") if hub else AT_HOME,
        )
        for name in card["formats"]
    )
    timm = pictured and "timm" in card["formats"]
    note = " The timm transform above does all but the first." if timm else ""
    licence = f"license: {card['license']}\n" if card["license"] else ""
    library = {"timm": "timm", "onnx": "onnx", "torch_export": "pytorch"}[
        next(name for name in PARTS if name in card["formats"])
    ]
    return f"""---
library_name: {library}
pipeline_tag: image-feature-extraction
{licence}tags:
- {library}
- image-feature-extraction
- self-supervised
---

# {card["architecture"]}, pretrained with ssl_patches

An image encoder: {channels} x {height} x {width} in, {card["features"]} features out. ssl_patches \
is not needed to use it.

## Images

{_stored(images)} The orientation that a file states is applied, a white that is zero is \
inverted, and what is transparent is white.

{_lines(images)}
{parts}
## Preprocessing

{channels} channels, opened as above; resize the shorter side to \
{images["resize_shorter_side"]} px ({images["interpolation"]},
antialiased), crop the centre {height} x {width}, scale to 0..1, subtract mean {images["mean"]}, \
divide by std
{images["std"]}.{note}
Other image sizes: {_other_sizes(card)}.

## How it was trained

* Pretext task: {_said(card.get("task"))}{_settings(card)}
* Data: {_data(card)}; fingerprint {_said(card.get("data_fingerprint"))}
* Images seen: {_said(card.get("images"))}; step {_said(card.get("step"))}, \
{_said(card.get("weights"))} weights
* Commit of ssl_patches: {_said(card.get("commit"))}
* Licence: {_said(card["license"])}

{_table(card.get("results"))}
## Proof

{_proof(card)}

`ssl_patches.json` holds the configuration, versions and the sha256 of each file. \
`ssl-patches verify DIR` repeats the
proof.
"""


def _graph_input(images: Mapping[str, Any]) -> str:
    """Say what is put into a graph."""
    kind = images["graph_input"].partition(" ")[0].strip(",")
    given = f"({kind}, B x {images['channels']} x H x W)"
    return {
        "uint8": f"resized and cropped pixels 0..255 {given}; the graph scales and normalises them",
        "uint16": f"resized and cropped values {given}, {images['graph_input'][7:]}; the graph"
        " scales and normalises them",
    }.get(kind, f"resized, cropped, scaled and normalised as below {given}")


def _stored(images: Mapping[str, Any]) -> str:
    """Say which stored values are black and white."""
    stated = images.get("stored_range")
    if stated is None:
        return (
            "Stored values: 0 is black, and white is 255 in images of 8 bits, 65535 in whole"
            " numbers of more (or the largest that the file's own bits can hold) and 1 in floats."
        )
    low, high = stated
    return (
        f"Stored values: {low:g} is black and {high:g} is white in images of more than 8 bits"
        f" (`data.value_range=[{low:g},{high:g}]` of the run), and what lies beyond is clipped; in"
        " images of 8 bits 0 and 255."
    )


def _lines(images: Mapping[str, Any]) -> str:
    """Return the lines that open an image."""
    stated = images.get("stored_range")
    whole = '(0, 1 if stored.dtype.kind == "f" else 65535)'
    said = whole if stated is None else f"({stated[0]:g}, {stated[1]:g})"
    channels = images["channels"]
    if channels in (1, 3):
        template, mode = PICTURES, "L" if channels == 1 else "RGB"
        return template.replace("{mode}", mode).replace("{range}", said)
    return BANDS.format(range=said, **images)


def _said(value: Any) -> str:
    if value is None:
        return "not stated"
    return value if isinstance(value, str) else f"`{json.dumps(value)}`"


def _other_sizes(card: Mapping[str, Any]) -> str:
    return (
        f"{card['other_sizes']}, not square ones too"
        if card["other_sizes"]
        else "none, this network takes this one only"
    )


def _settings(card: Mapping[str, Any]) -> str:
    """Write the task's own part of the configuration."""
    task = (card.get("config") or {}).get("task")
    return (
        f", `{json.dumps({key: value for key, value in task.items() if key != '_target_'})}`"
        if task
        else ""
    )


def _data(card: Mapping[str, Any]) -> str:
    """Name the images as tables do."""
    node = (card.get("config") or {}).get("data")
    return data_name(node) if node and isinstance(node.get("_target_"), str) else _said(None)


def _proof(card: Mapping[str, Any]) -> str:
    found = card["proof"]
    sizes = ", ".join(f"{height} x {width}" for height, width in found["sizes"])
    lines = [f"| {name} | {value:.1e} |" for name, value in found["formats"].items()]
    table = "\n".join(["| format | largest difference |", "| --- | --- |", *lines])
    return (
        f"Loaded in a process that cannot import ssl_patches, {found['images']} images of {sizes}"
        " px, pooled and dense features against the trained encoder's, relative to the largest;"
        f" {found['tolerance']:g} is allowed for weights in {card['precision']}.\n\n{table}"
    )


def _table(results: Any) -> str:
    """Long-form rows as a table; anything else is left to the card."""
    if (
        not isinstance(results, Sequence)
        or not all(isinstance(row, Mapping) for row in results)
        or not results
    ):
        return "## Results\n\nNot evaluated.\n"
    columns = [column for column in COLUMNS if any(column in row for row in results)]
    lines = [
        columns,
        ["---"] * len(columns),
        *([_cell(row.get(column, "")) for column in columns] for row in results),
    ]
    return "## Results\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
