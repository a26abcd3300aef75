"""Write the last screen of a run: results, where the encoder lies, how to load it, what to type."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config.plain_text import in_lines
from ssl_patches.config.summary import read_summary
from ssl_patches.evaluation.rows import Row, table
from ssl_patches.evaluation.verdict import NOT_YET, verdict

FETCHED = ("data.path=", "data.storage_options=")
"""What has to be typed for images that lie in an object store."""
COMPARING = ("agree", "subsets")
"""Tasks of the recipes that are chosen when no task is typed."""


def last_screen(run_dir: Path) -> str:
    """Return the last screen of a finished run. ValueError where its summary cannot be read."""
    summary = read_summary(run_dir)
    used, folder = summary["budget_used"], run_dir / "encoder"
    lines = [""]
    rows = [Row(**row) for row in summary["results"]]
    if rows:
        lines += [table(rows), ""]
    if said := verdict(rows):
        lines += [said, *_remedy(summary, said), ""]
    lines += [
        (
            f"{used['images']:,} images in {used['seconds']:.0f} s"
            f" ({summary['images_per_second']:.0f} images/s), {used['flops'] / 1e12:.1f} TFLOP"
        ),
        f"figures   {run_dir / 'figures'}",
        *(_encoder(folder, rows, summary) if summary.get("export", True) else _none(run_dir)),
        f"          ssl-patches compare {run_dir.parent}",
    ]
    return in_lines(lines)


def _images(rows: Sequence[Row], summary: Mapping[str, Any]) -> str:
    """Return the words for what has not been evaluated: other probes, or images with labels.

    An address is typed again: what a folder names is not fetched.
    """
    if not rows:
        return "data=folder data.root=LABELLED_IMAGES"
    words = [word for word in summary.get("words", []) if word.startswith(FETCHED)]
    address = any("://" in word for word in words)
    return " ".join(["probes=[layers,lowshot]", *([shlex.join(words)] if address else [])])


def _encoder(folder: Path, rows: Sequence[Row], summary: Mapping[str, Any]) -> list[str]:
    return [
        f"encoder   {folder}",
        "load it   import timm",
        f"          encoder = timm.create_model('local-dir:{folder.resolve()}', pretrained=True)",
        f"next      ssl-patches evaluate model={folder.parent} {_images(rows, summary)}",
    ]


def _none(run_dir: Path) -> list[str]:
    """Of a run with export=none."""
    return [
        "encoder   none (export=none)",
        f"next      ssl-patches export model={run_dir} output={run_dir / 'encoder'}",
    ]


def _remedy(summary: Mapping[str, Any], said: str) -> list[str]:
    """Return what to try where the encoder is not above its floors."""
    if not said.startswith(NOT_YET):
        return []
    if summary["task"] in COMPARING:
        return ["Try a longer run (budget.flops=) first; docs/choose_a_task.md has what is known."]
    return [
        "Try the recipe that pretrain chooses when no task is typed (it compares views, and led for"
        " classes of photographs), or a longer run (budget.flops=)."
    ]
