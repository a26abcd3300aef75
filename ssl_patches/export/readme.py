"""Write the model card: what a stranger needs to use the folder, in the order of need.

Trap: a path of the machine that wrote it. The folder is moved and uploaded, so the lines name a
placeholder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("model", "data", "metric", "value", "low", "high", "n")

TIMM = """\
## timm

```python
import timm

model = timm.create_model("local-dir:path/to/this/folder", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), \
is_training=False)
features = model(transform(image).unsqueeze(0))  # (1, {features})
dense = model.forward_intermediates(transform(image).unsqueeze(0), indices=1, \
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

PARTS = {"timm": TIMM, "onnx": ONNX, "torch_export": TORCH_EXPORT}


def readme(card: Mapping[str, Any]) -> str:
    """Write Markdown with a YAML head from the card of ``export_model``."""
    images = card["preprocessing"]
    channels, height, width = images["channels"], images["height"], images["width"]
    mode = {
        1: ' (open images with `.convert("L")`)',
        3: ' (open images with `.convert("RGB")`)',
    }.get(channels, "")
    inside = images["graph_input"].startswith("uint8")
    given = f"({'uint8' if inside else 'float32'}, B x {channels} x H x W)"
    graph = (
        f"resized and cropped pixels 0..255 {given}; the graph scales and normalises them"
        if inside
        else f"resized, cropped, scaled and normalised as below {given}"
    )
    parts = "\n".join(
        PARTS[name].format(features=card["features"], input=graph) for name in card["formats"]
    )
    note = " The timm transform above does this." if "timm" in card["formats"] else ""
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

{parts}
## Preprocessing

{channels} channels{mode}; resize the shorter side to {images["resize_shorter_side"]} px \
({images["interpolation"]},
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
    """The task's own part of the configuration."""
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
