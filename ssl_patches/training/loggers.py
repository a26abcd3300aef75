"""Make the loggers that may run beside metrics.csv, which is always written."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger


def wandb_logger(
    *, run_dir: Path, project: str = "ssl_patches", offline: bool = True, name: str | None = None
) -> WandbLogger:
    """Make a logger for Weights & Biases. A resumed run goes on: the id comes from ``run_dir``.

    ``project``: where runs are sorted in. Why: the package's name. ``offline``: files only, no
    account. Why: nothing leaves the machine unasked. ``name``: of the run; None: that of its
    directory.
    """
    path = run_dir.resolve()
    # wandb refuses these in ids; the digest tells apart names that become alike
    begin = re.sub("[:;,#?/'\udc80-\udcff]", "-", path.name)[:64]
    run_id = f"{begin}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    return WandbLogger(
        save_dir=run_dir,
        project=project,
        offline=offline,
        name=name or path.name,
        id=run_id,
        resume="allow",
    )


def tensorboard_logger(*, run_dir: Path) -> TensorBoardLogger:
    """Make a logger that writes the rows of metrics.csv for TensorBoard.

    ValueError where the package is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "logger=tensorboard: needs the package tensorboard; pip install"
            " 'ssl-patches[tensorboard]'"
        )
    return TensorBoardLogger(save_dir=run_dir, name="tensorboard", version="")
