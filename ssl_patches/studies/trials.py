"""Run a trial of a study: a training that is judged on training images and leaves no checkpoint.

A trial that diverges is a result, not a failure, whether its loss or its features are no finite
numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ssl_patches.config.messages import Say
from ssl_patches.studies import rungs, tuning
from ssl_patches.studies.jobs import Job
from ssl_patches.training.callbacks.nonfinite import NonFinite
from ssl_patches.training.prepare import prepare
from ssl_patches.training.run import execute
from ssl_patches.training.statistics import with_statistics
from ssl_patches.training.weights import with_pinned_weights

Lags = Callable[[Mapping[int, float]], bool]
"""Tells of the values of a trial so far, resource -> percent, whether it is to end."""


def run_trial(job: Job, directory: Path, *, say: Say, lags: Lags | None = None) -> None:
    """Train, or go on, and judge. ``lags``: asked on the way; None: the trial runs to its end.

    Trap: processes of one run would have to end together, so a run of several is not ended early.
    """
    asked = {**job.cfg, "run_dir": str(directory), "resume": True}
    cfg, told = with_statistics(with_pinned_weights(asked))
    for line in told:
        say(line)
    cfg |= {"callbacks": {}}  # observers look at held-out images, and a trial sees none
    began, file = time.monotonic(), directory / rungs.FILE
    run = prepare(cfg)
    if lags is not None and run.settings.processes == 1:
        run.observers.append(rungs.Rungs(cfg, directory, lags))
    if rungs.pruned_at(file) is None:
        try:
            execute(cfg, run, began=began, on_finished=tuning.judge, say=say)
            return
        except NonFinite as error:
            say(str(error).partition(";")[0])
            images = run.module.steps_done * run.data.batch_size
            tuning.end_trial(directory, {"diverged": True}, images=images, flops=run.flops)
            return
        except rungs.Pruned:
            pass
    rung = rungs.pruned_at(file) or {}
    how = {"diverged": True} if rung.get("value") is None else {"pruned": True}
    what = "diverged" if "diverged" in how else f"lags behind with {rung['value']:.1f} %"
    say(f"{what} after {rung['images']:,} images; ended")
    tuning.end_trial(directory, how, images=rung["images"], flops=run.flops)
