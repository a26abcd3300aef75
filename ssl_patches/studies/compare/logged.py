"""Log a comparison beside its runs, for Weights & Biases (offline) or TensorBoard."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.studies.compare.comparison import Comparison
from ssl_patches.studies.compare.table import columns, lines, render, sentences


def log_to_wandb(comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write two tables as one offline run, for ``wandb leet`` or ``wandb sync``; return its folder,
    in ``wandb/`` of the first place."""
    import wandb

    place = comparison.places[0]
    names: list[str | int] = ["entry", *columns(comparison)[1:]]
    with wandb.init(
        project="ssl_patches",
        dir=place,
        mode="offline",
        reinit="finish_previous",
        job_type="compare",
        name=place.resolve().name,
    ) as run:
        table = {"comparison": wandb.Table(columns=names, data=lines(comparison))}
        if rows:
            table["results"] = wandb.Table(
                columns=list(rows[0]), data=[list(row.values()) for row in rows]
            )
        run.log(table)
        run.summary["findings"] = sentences(comparison)
        return Path(run.dir).parent


def log_to_tensorboard(comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the table and its sentences as a text, and each result as a scalar of its entry (the
    step is the seed).

    The folder is ``tensorboard/comparison`` of the first place, beside those of the runs. A second
    comparison replaces the first. ValueError where TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "--tensorboard: needs the package tensorboard; pip install 'ssl-patches[tensorboard]'"
        )
    from torch.utils.tensorboard import SummaryWriter

    place = comparison.places[0] / "tensorboard" / "comparison"
    shutil.rmtree(place, ignore_errors=True)
    with SummaryWriter(str(place)) as writer:
        writer.add_text("comparison", render(comparison, markdown=True))
    for entry in dict.fromkeys(row["entry"] for row in rows):
        with SummaryWriter(str(place / re.sub(r"[^\w.+=-]+", "_", entry))) as writer:
            for row in rows:
                if row["entry"] == entry:
                    writer.add_scalar(f"comparison/{row['metric']}", row["value"], row["seed"])
    return place
