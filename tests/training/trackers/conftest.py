"""One run that several trackers follow at once, evaluated and exported."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from networks import proven_in_this_process
from small import SMALL

from ssl_patches.cli import main

ODD = "a:b;c,#'d"
"""A name with the letters that W&B refuses; a ? is refused by SQLite's addresses too."""


@pytest.fixture(scope="session")
def at_home(tmp_path_factory):
    """Trackers without an account, and without what the user has set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
            patch.delenv(name)
        home = tmp_path_factory.mktemp("home")
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(home))
        patch.setenv("WANDB_SILENT", "true")
        yield


@pytest.fixture(scope="session")
def tracked_run(tmp_path_factory, at_home) -> Path:
    """A run of SMALL with all loggers whose package is there: never write into it."""
    run_dir = tmp_path_factory.mktemp("runs") / ODD
    names = [name for name in ("wandb", "tensorboard", "mlflow") if importlib.util.find_spec(name)]
    name = str(run_dir).replace("'", r"\'")
    words = [f"logger=[{','.join(names)}]", "trainer.log_every=1", "~callbacks.previews"]
    words += ["logger.wandb.tags=[mine]", "data.num_workers=0"]
    with proven_in_this_process():
        assert main(["pretrain", *SMALL, *words, f"run_dir='{name}'"]) == 0
    return run_dir
