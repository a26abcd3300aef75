"""The comparison as one offline run of Weights & Biases: two tables, looked at with ``wandb leet`` or sent by ``wandb sync``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from ssl_patches.studies.comparison import Comparison
from ssl_patches.studies.table import columns, lines, sentences


def log_table(comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The folder that was written, in ``wandb/`` of the first place compared."""
    place = comparison.places[0]
    names = ["entry", *columns(comparison)[1:]]
    about = {"job_type": "compare", "name": place.resolve().name}
    with wandb.init(project="ssl_patches", dir=place, mode="offline", reinit="finish_previous", **about) as run:
        table = {"comparison": wandb.Table(columns=names, data=lines(comparison))}
        if rows:
            table["results"] = wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
        run.log(table)
        run.summary["findings"] = sentences(comparison)
        return Path(run.dir).parent
