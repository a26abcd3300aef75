"""What a person sees at the end of a run: how good the encoder is, where it lies, how to load it,
what to type next."""

from __future__ import annotations

import json
from pathlib import Path

from ssl_patches.config.run_dir import SUMMARY
from ssl_patches.evaluation.rows import Row, table


def last_screen(run_dir: Path) -> str:
    summary = json.loads((run_dir / SUMMARY).read_text(encoding="utf-8"))
    used, folder = summary["budget_used"], run_dir / "encoder"
    lines = [""]
    if summary["results"]:
        lines += [table([Row(**row) for row in summary["results"]]), ""]
    lines += [
        (
            f"{used['images']:,} images in {used['seconds']:.0f} s"
            f" ({summary['images_per_second']:.0f} images/s), {used['flops'] / 1e12:.1f} TFLOP"
        ),
        f"figures   {run_dir / 'figures'}",
        f"encoder   {folder}",
        "load it   import timm",
        f"          encoder = timm.create_model('local-dir:{folder.resolve()}', pretrained=True)",
        f"next      ssl-patches evaluate model={run_dir} data=folder data.root=LABELLED_IMAGES",
        f"          ssl-patches compare {run_dir.parent}",
    ]
    return "\n".join(lines)
