"""Loggers beside metrics.csv, which is always written."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger


def wandb_logger(*, run_dir: Path, project: str = "ssl_patches", offline: bool = True, name: str | None = None) -> WandbLogger:
    """Weights & Biases; ``offline`` needs no account. The id comes from the run directory, so a resumed run goes on."""
    path = run_dir.resolve()
    run_id = f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    return WandbLogger(save_dir=run_dir, project=project, offline=offline, name=name or path.name, id=run_id, resume="allow")
