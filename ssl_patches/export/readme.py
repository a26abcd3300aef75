"""Write the model card: what a stranger needs to use the folder, in the order of need.

Trap: a path of the machine that wrote it. The folder is moved and uploaded, so the lines name a
placeholder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("model", "data", "metric", "value", "low", "high", "n")

PICTURES = """\
```python
import numpy as np
from PIL import Image, ImageOps


def opened(file):  # as it was trained on: upright, transparency on white, 256 levels
    if str(file).endswith(".npy"):
        return shown(np.load(file))
    if str(file).lower().endswith((".tif", ".tiff")):
        import tifffile

        if (stored := tifffile.imread(file)).dtype != "uint8":
            return shown(stored)
    image = Image.open(file)
    if ";16" in str(image.tile) and image.mode[0] not in "IF":
        raise ValueError("Pillow keeps 8 of its 16 bits: read it otherwise, and call shown(stored)")
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        return shown(np.asarray(image))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB" if image.mode in ("P", "CMYK") else "{mode}").convert("{mode}")


def shown(stored):  # of values as stored, (H, W) or (H, W, 3)
    if stored.dtype != "uint8":
        black, white = {range}
        share = (stored.astype("float64") - black) / (white - black)
        stored = np.rint(share.clip(0, 1) * 255).astype("uint8")
    return Image.fromarray(stored).convert("{mode}")
```
"""

BANDS = """\
```python
import numpy as np
import torch


def prepared(stored):  # of values as stored, ({channels}, H, W), such as tifffile.imread(FILE)
    black, white = (0, 255) if stored.dtype == "uint8" else {range}
    share = ((stored.astype("float64") - black) / (white - black)).clip(0, 1)
    side = min(share.shape[1:])
    top, left = (share.shape[1] - side) // 2, (share.shape[2] - side) // 2
    middle = torch.from_numpy(share[:, top : top + side, left : left + side]).float()
    pixels = torch.nn.functional.interpolate(
        middle[None], ({height}, {width}), mode="bilinear", antialias=True
    )[0]
    mean, std = torch.tensor({mean}), torch.tensor({std})
    return (pixels - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
```
"""

TIMM = """\
## timm

```python
import timm

model = timm.create_model("local-dir:path/to/this/folder", pretrained=True).eval()
{transform}
features = model(pixels.unsqueeze(0))  # (1, {features})
dense = model.forward_intermediates(pixels.unsqueeze(0), indices=1, \
intermediates_only=True)[0]  # (1, {features}, h, w)
```

Without `pretrained=True` timm gives random weights. Add `num_classes=10` for a new classifier on \
the same encoder.
With transformers: `AutoModel.from_pretrained("path/to/this/folder")`, then `.pooler_output`. \
After an upload to the Hugging
Face hub the name is `hf-hub:USER/NAME` instead of `local-dir:...`.
"""

ONNX = """\
## ONNX

```python
import onnxruntime

session = onnxruntime.InferenceSession("encoder.onnx")
pooled, dense = session.run(["pooled", "dense"], {{"image": images}})  # (B, {features}), (B, \
{features}, h, w)
```

`images`: {input}.
"""

TORCH_EXPORT = """\
## torch.export

```python
import torch

model = torch.export.load("encoder.pt2").module()
pooled, dense = model(images)  # (B, {features}), (B, {features}, h, w)
```

`images`: {input}.
"""

TRANSFORM = """\
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), \
is_training=False)
pixels = transform(opened("image.png"))  # opened: see Images"""
PREPARED = "pixels = prepared(stored)  # see Images"

PARTS = {"timm": TIMM, "onnx": ONNX, "torch_export": TORCH_EXPORT}


def readme(card: Mapping[str, Any]) -> str:
    """Write Markdown with a YAML head from the card of ``export_model``."""
    images = card["preprocessing"]
    channels, height, width = images["channels"], images["height"], images["width"]
    pictured = channels in (1, 3)
    parts = "\n".join(
        PARTS[name].format(
            features=card["features"],
            input=_graph_input(images),
            transform=TRANSFORM if pictured else PREPARED,
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
* Data fingerprint: {_said(card.get("data_fingerprint"))}
* Images seen: {_said(card.get("images"))}; step {_said(card.get("step"))}, \
{_said(card.get("weights"))} weights
* Commit of ssl_patches: {_said(card.get("commit"))}
* Licence: {_said(card["license"])}

{_table(card.get("results"))}
## Proof

{_proof(card)}

`ssl_patches.json` holds the whole configuration, versions and the sha256 of each file. \
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
