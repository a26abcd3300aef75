"""Check what ``ssl-patches doctor`` is asked before anything is read."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_patches.config.machine import cores
from ssl_patches.data.files import QUARANTINE_COLUMNS


def quarantine_file(quarantine: str | None) -> Path | None:
    """Return the file that is to list damaged images and copies; None where none is asked for."""
    return None if quarantine is None else Path(quarantine).expanduser()


def check_request(cfg: Mapping[str, Any], root: str, target: Path | None) -> int:
    """Check a request before anything is read, and return the number of worker processes.

    ValueError for what cannot be done.
    """
    if not os.path.isdir(root):
        what = (
            "is a file; unpack it and name the folder" if os.path.isfile(root) else "does not exist"
        )
        raise ValueError(
            f"data.root={root}: must be a folder of images, but {what}; set data.root=DIR"
        )
    if target is None:
        pass
    elif target.exists():
        ours = target.is_file() and _first_row(target) == list(QUARANTINE_COLUMNS)
        if not (ours and cfg["overwrite"]):
            remedy = "set overwrite=true to replace it, or " if ours else ""
            raise ValueError(
                f"quarantine={target}: exists already; {remedy}set quarantine=FILE to a new file"
            )
    elif not target.absolute().parent.is_dir():
        raise ValueError(
            f"quarantine={target}: there is no folder {target.absolute().parent}; make it, or set"
            " quarantine=FILE"
        )
    workers = cfg["num_workers"]
    if workers is not None and workers < 0:
        raise ValueError(
            f"num_workers={workers}: must be 0 (no process of its own) or more; leave it out for"
            " one per core"
        )
    if workers is None:  # where the system does not tell its cores: no process of its own
        return cores() or 0
    return int(workers)


def _first_row(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return next(csv.reader(file), [])
