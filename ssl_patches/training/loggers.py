"""Make the loggers that may run beside metrics.csv, which is always written."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from pathlib import Path

from lightning.pytorch.loggers import Logger

from ssl_patches.training.rows import report
from ssl_patches.training.trackers.tensorboard_run import TensorBoardRun
from ssl_patches.training.trackers.tracked import study_of
from ssl_patches.training.trackers.wandb_account import taken_by_server
from ssl_patches.training.trackers.wandb_run import WandbRun, in_sweep


def wandb_logger(
    *,
    run_dir: Path,
    project: str = "ssl_patches",
    entity: str | None = None,
    offline: bool | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: list[str] | None = None,
    job_type: str = "pretrain",
    artifacts: bool = True,
    finish_timeout: float = 600,
) -> WandbRun:
    """Make a logger for Weights & Biases. A resumed run goes on: the id comes from ``run_dir``.

    ``project``: where runs are sorted in; in a sweep of W&B its own. Why: the package's name.
    ``entity``: the user or team that owns the project; null: who is logged in. ``offline``: files
    only, no account; null: true, but in a sweep of W&B, whose server must hear of its runs, what
    WANDB_MODE says. Why: nothing leaves the machine unasked. ``name``: of the run; null: that of
    its directory. ``group``: runs that belong together; null: the study or the sweep of the run.
    ``tags``: more tags than task, encoder and data; null: none. ``job_type``: what kind of run it
    is. Why: tables of ``compare`` have their own kind. ``artifacts``: keep the exported encoder as
    an artifact, with the fingerprint of its data. Why: an encoder is what a run is for; its files
    are named, not copied. ``finish_timeout``: seconds that the end of a run waits for W&B's server,
    above 0; what it does not get in time stays in files, which ``wandb sync`` sends. Why: ten
    minutes send an encoder over a slow line; W&B itself waits without an end for a server that is
    gone. ValueError where the server does not take the user.
    """
    path, swept = run_dir.resolve(), in_sweep()
    if finish_timeout <= 0:
        raise ValueError(
            f"logger.finish_timeout={finish_timeout:g}: must be above 0; the default is"
            " logger.finish_timeout=600"
        )
    alone = not swept if offline is None else offline
    if not alone and not taken_by_server():
        report(
            f"logger=wandb: {path / 'wandb'} keeps the run in files; send them with: wandb sync"
            f" {path}/wandb/offline-run-*"
        )
        alone = True
    return WandbRun(
        save_dir=run_dir,
        project=project,
        entity=entity,
        name=name or (None if swept else path.name),
        group=group or study_of(run_dir) or os.environ.get("WANDB_SWEEP_ID"),
        tags=tags or None,
        job_type=job_type,
        id=None if swept else run_id(path),
        resume=None if swept else "allow",
        mode="offline" if alone else None,
        artifacts=artifacts,
        finish_timeout=finish_timeout,
    )


def run_id(path: Path) -> str:
    """Return the id of a run directory for W&B, the same whenever it is resumed.

    W&B refuses some letters in ids; the digest tells apart names that become alike.
    """
    begin = re.sub("[:;,#?/'\udc80-\udcff]", "-", path.name)[:64]
    return f"{begin}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


def tensorboard_logger(*, run_dir: Path) -> TensorBoardRun:
    """Make a logger that writes the rows of metrics.csv for TensorBoard.

    ValueError where the package is not installed.
    """
    need("tensorboard")
    return TensorBoardRun(save_dir=run_dir, name="tensorboard", version="")


def mlflow_logger(
    *,
    run_dir: Path,
    experiment: str = "ssl_patches",
    tracking_uri: str | None = None,
    name: str | None = None,
    tags: dict[str, str] | None = None,
    model: bool = True,
) -> Logger:
    """Make a logger for MLflow. A resumed run goes on with its record.

    ``experiment``: where runs are sorted in. Why: the package's name. ``tracking_uri``: a server
    (http://HOST:5000), sqlite:///FILE, or a folder; null: what MLFLOW_TRACKING_URI says, else
    mlruns/mlflow.db of the run. ``name``: of the run; null: that of its directory. ``tags``: more
    tags than task, encoder and data; null: none. ``model``: keep the exported encoder as a model
    that mlflow.pyfunc.load_model runs. Why: an encoder is what a run is for. ValueError where the
    package is not installed.
    """
    need("mlflow")
    from ssl_patches.training.trackers.mlflow_run import MlflowRun, store_of

    path = run_dir.resolve()
    address = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    return MlflowRun(
        store=(address, None) if address else store_of(path),
        experiment=experiment,
        run_name=name or path.name,
        tags=tags or {},
        identity=run_id(path),
        model=model,
    )


def need(package: str) -> None:
    """Raise ValueError unless ``package`` is installed, which is an extra of the same name."""
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"logger={package}: needs the package {package}; pip install 'ssl-patches[{package}]'"
        )
