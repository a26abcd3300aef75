"""Judge a trial on its way, at a quarter and at a half of its budget, and end it where it lags.

Rungs are those of ASHA (Li et al., 2020): of the trials that came so far, the better half goes on.
What is judged is a copy, so a trial that goes on is bit for bit the one that nobody looked at: it
follows the schedule of its whole budget from the first step.

``rungs.json`` keeps values and decisions; a trial that is resumed is not judged twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L

from ssl_patches.config.atomic import write_json
from ssl_patches.studies import tuning
from ssl_patches.training.callbacks.observer import Observer
from ssl_patches.training.pretrainer import Pretrainer

FILE = "rungs.json"
SHARES = {1: 0.25, 2: 0.5}
"""Resource of a rung, as ASHA counts it, -> its share of the trial. The whole is 4, see
``optuna_search.WHOLE``."""


class Pruned(Exception):
    """A trial lags behind and ends here."""


class Rungs(Observer):
    """A callback that raises Pruned where ``lags`` says so of the values so far, resource ->
    percent. Features that are not finite end a trial too."""

    def __init__(
        self, cfg: Mapping[str, Any], run_dir: Path, lags: Callable[[Mapping[int, float]], bool]
    ) -> None:
        self.cfg, self.file, self.lags = cfg, run_dir / FILE, lags

    def on_step_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Judge where a rung is reached for the first time."""
        for resource, share in SHARES.items():
            if share <= module.progress() < 1 and str(resource) not in read_rungs(self.file):
                self._judge(resource, trainer.global_step * module.batch_size, module)

    def _judge(self, resource: int, images: int, module: Pretrainer) -> None:
        before = read_rungs(self.file)
        found = tuning.probe_copy(self.cfg, module)
        values = {int(key): rung["value"] for key, rung in before.items()}
        value = found["value"]
        pruned = value is None or self.lags({**values, resource: value})
        rung = {**found, "images": images, "pruned": pruned}
        write_json(self.file, {**before, str(resource): rung})
        if pruned:
            raise Pruned


def read_rungs(file: Path) -> dict[str, dict[str, Any]]:
    """Read ``rungs.json``: resource -> what was found there; empty where there is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def pruned_at(file: Path) -> dict[str, Any] | None:
    """Return the rung at which a trial was ended; None where it was not."""
    return next((rung for rung in read_rungs(file).values() if rung["pruned"]), None)
