"""The model card: what a stranger needs to use the folder, in the order in which it is needed.

Trap: a path of the machine that wrote it. The folder is moved and uploaded, so the lines name a placeholder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("model", "data", "metric", "value", "low", "high", "n")


def readme(config: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """Markdown from ``config.json``'s content and the card (``task``, ``data``, ``budget``, ``results`` if it has them)."""
    images = config["pretrained_cfg"]
    channels, height, width = images["input_size"]
    mode = {1: ' (open images with `.convert("L")`)', 3: ' (open images with `.convert("RGB")`)'}.get(channels, "")
    return f"""---
library_name: timm
pipeline_tag: image-feature-extraction
tags:
- timm
- image-feature-extraction
- self-supervised
---

# {config["architecture"]}, pretrained with ssl_patches

An image encoder: {channels} x {height} x {width} in, {config["num_features"]} features out. It needs timm, not ssl_patches.

```python
import timm

model = timm.create_model("local-dir:path/to/this/folder", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
features = model(transform(image).unsqueeze(0))  # (1, {config["num_features"]})
```

Without `pretrained=True` timm gives random weights. Add `num_classes=10` for a new classifier on the same encoder.
With transformers: `AutoModel.from_pretrained("path/to/this/folder")`, then `.pooler_output`.

## Preprocessing

{channels} channels{mode}; resize the shorter side to {round(height / images["crop_pct"])} px ({images["interpolation"]},
antialiased), crop the centre {height} x {width}, scale to 0..1, subtract mean {images["mean"]}, divide by std {images["std"]}.
The transform above does this.

## How it was trained

* Pretext task: {_said(card.get("task"))}
* Data fingerprint: {_said(card.get("data"))}
* Budget: {_said(card.get("budget"))}

{_table(card.get("results") or ())}`ssl_patches.json` holds the whole configuration, versions and the sha256 of each file.
"""


def _said(value: Any) -> str:
    if value is None:
        return "not recorded"
    return value if isinstance(value, str) else f"`{json.dumps(value)}`"


def _table(results: Any) -> str:
    """Long-form rows as a table; anything else is left to the card."""
    if not isinstance(results, Sequence) or not all(isinstance(row, Mapping) for row in results) or not results:
        return ""
    columns = [column for column in COLUMNS if any(column in row for row in results)]
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column, "")) for column in columns] for row in results)]
    return "## Results\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
