"""Write the last screen of a run: results, where the encoder lies, how to load it, what to type."""

from __future__ import annotations

from pathlib import Path

from ssl_patches.evaluation.rows import Row, table
from ssl_patches.studies.run_reader import read_summary


def last_screen(run_dir: Path) -> str:
    """Return the last screen of a finished run. ValueError where its summary cannot be read."""
    summary = read_summary(run_dir)
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
