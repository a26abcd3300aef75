"""Run one pretraining, from a checked configuration to an encoder in use.

Everything that can be refused is refused before the run directory is touched: ``prepare`` builds
all parts and counts what a step costs, then the directory is claimed, and what comes after
(``finish``) only reads what training left.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ssl_patches import config
from ssl_patches.config.messages import Say
from ssl_patches.config.plain_text import in_lines, tell
from ssl_patches.config.run_dir import (
    CONFIG,
    LAST,
    SUMMARY,
    claimed,
)
from ssl_patches.data import build as build_data
from ssl_patches.data.live import Datasets
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.encoders.exported import CARD
from ssl_patches.encoders.origin import caution
from ssl_patches.export.staging import check_free
from ssl_patches.training import processes
from ssl_patches.training.busy import crowded_here
from ssl_patches.training.callbacks.checkpoint import disk_full_guard
from ssl_patches.training.finish import finish
from ssl_patches.training.fit import fit, gathered
from ssl_patches.training.prepare import Prepared, prepare, resolve_run_dir
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.process import before_training
from ssl_patches.training.statistics import with_statistics
from ssl_patches.training.trackers.tracked import RunFacts, followed, loggers_of
from ssl_patches.training.weights import with_pinned_weights


class OnFinished(Protocol):
    """What is called with a trained module, as ``finish`` is."""

    def __call__(
        self,
        cfg: Mapping[str, Any],
        run_dir: Path,
        module: Pretrainer,
        data: PatchDataModule,
        *,
        flops: float,
        began: float,
        say: Say,
    ) -> None:
        """Take over a trained module; ``flops`` of a step per image, ``began`` a monotonic time."""


def pretrain(
    cfg: Mapping[str, Any],
    *,
    say: Say = tell,
    words: Sequence[str] = (),
    sources: Datasets | None = None,
) -> Path:
    """Run a checked configuration and return its run directory.

    ``words``: what was typed after ``ssl-patches pretrain``, kept in ``summary.json``.
    ``sources``: as for ``prepare``. A process
    that follows another (see ``processes``) trains along and leaves the run directory alone.
    ValueError for a bad request, before anything is written; Failed where training fails.
    """
    began = time.monotonic()
    before_training()
    cfg, told = with_statistics(with_pinned_weights(cfg), sources=sources)
    on_finished = partial(finish, words=words, sources=sources)
    run = prepare(cfg, sources=sources)
    if told and not processes.is_follower():
        say(in_lines(told))
    return execute(cfg, run, began=began, on_finished=on_finished, say=say)


def execute(
    cfg: Mapping[str, Any], run: Prepared, *, began: float, on_finished: OnFinished, say: Say
) -> Path:
    """Train what is prepared, alone in its run directory, then call ``on_finished``.

    ``began``: time.monotonic() when the run started. ValueError where the run directory is
    another's; Failed where training fails.
    """
    run_dir, checkpoint = resolve_run_dir(cfg, run)
    if (
        checkpoint
        and (run_dir / SUMMARY).is_file()
        and run.module.steps
        and checkpoint["global_step"] >= run.module.steps
    ):
        say(f"{run_dir}: finished already; a larger budget goes on from there")
        return run_dir
    if checkpoint:
        done = checkpoint["global_step"] * run.settings.accumulate
        run.data.go_on(checkpoint, batches=done)
    if processes.is_follower():
        fit(run_dir, run, resumed=checkpoint is not None, loggers=[])
        return run_dir
    loggers = loggers_of(cfg.get("logger"), run_dir)
    keys = {"resume": cfg["resume"], "overwrite": cfg["overwrite"]}
    with claimed(run_dir, **keys), disk_full_guard(run_dir, run_dir / LAST):
        if (run_dir / "encoder").is_dir():
            check_free(run_dir / "encoder", overwrite=True, mark=CARD)
        _remove_results(run_dir, run.module)
        cfg = _as_kept(cfg, run_dir, run)
        config.save(cfg, run_dir / CONFIG)
        say(_opening(run_dir, run, checkpoint))
        node = cfg["encoder"]
        said = caution(node.get("pretrained"), str(node.get("name")), list(run.module.tasks))
        if said and not checkpoint:
            say(said)
        divided = run.settings.strategy == "fsdp"
        module = copy.deepcopy(run.module) if divided else run.module
        with followed(loggers, _facts(cfg, run_dir, run)):
            with processes.start_processes(run.settings, run_dir / CONFIG):
                fit(run_dir, run, resumed=checkpoint is not None, loggers=loggers)
            if divided:
                module = gathered(module, run.module, run_dir / LAST)
            on_finished(cfg, run_dir, module, run.data, flops=run.flops, began=began, say=say)
    return run_dir


def _facts(cfg: Mapping[str, Any], run_dir: Path, run: Prepared) -> RunFacts:
    return RunFacts(
        run_dir=run_dir,
        config=cfg,
        task=run.module.name,
        encoder=run.module.encoder.architecture,
        data=build_data.data_name(cfg["data"]),
        fingerprint=run.data.train.fingerprint(),
        batch_size=run.module.batch_size,
    )


def _remove_results(run_dir: Path, module: Pretrainer) -> None:
    """Remove what a smaller budget left at its end: this run goes beyond it."""
    for left in (SUMMARY, *(f"figures/{name}.png" for name in module.tasks)):
        (run_dir / left).unlink(missing_ok=True)


def _as_kept(cfg: Mapping[str, Any], run_dir: Path, run: Prepared) -> dict[str, Any]:
    """Return the configuration as ``config.yaml`` keeps it: with directory and precision chosen."""
    trainer = {**cfg["trainer"], "precision": run.settings.resolved_precision()[0]}
    data = build_data.with_absolute_places(cfg["data"])
    kept = {"run_dir": str(run_dir), "resume": False, "overwrite": False, "trainer": trainer}
    kept["data"] = data
    return {**cfg, **kept}


def _opening(run_dir: Path, run: Prepared, checkpoint: Mapping[str, Any] | None) -> str:
    module, train = run.module, run.data.train
    grids = [sampler.grid for _, sampler, _ in module.named_parts()]
    tiles = (
        " and ".join(f"{grid.rows} x {grid.cols} tiles of {grid.tile} px" for grid in grids)
        or "whole"
    )
    length = (
        f"{module.steps} steps of {module.batch_size} images"
        if module.steps
        else f"{module.seconds:g} seconds"
    )
    lines = [
        (
            f"{module.name}: {len(train)} images, {tiles}, {module.encoder.architecture}"
            f" ({sum(p.numel() for p in module.encoder.parameters()) / 1e6:.1f} M parameters),"
            f" {run.flops / 1e9:.2f} GFLOP per image"
        ),
        f"{length} -> {run_dir}",
    ]
    if train.split_rule:
        lines.insert(1, f"data: {train.split_rule}; images loaded at {train.load_size} px")
    lines += [f"images: {line}" for line in build_data.remarks(train, run.data.val)]
    if (loaded := module.encoder.loaded) and not checkpoint:
        lines.append(loaded)
    precision, why = run.settings.resolved_precision()
    if run.settings.precision == "auto":
        lines.append(f"precision {precision} ({why})")
    if quicker := run.settings.onednn_reason():
        lines.append(f"linear maps in oneDNN ({quicker}; trainer.onednn=false turns it off)")
    if run.settings.accelerator == "cpu" and (busy := crowded_here()):
        lines.append(busy)
    if run.settings.processes > 1 or run.settings.accumulate > 1:
        lines.append(
            f"each step in {run.settings.processes} processes ({run.settings.strategy}) x"
            f" {run.settings.accumulate} shards of {run.data.batch_size} images"
        )
    if checkpoint:
        lines.append(f"resumed at step {checkpoint['global_step']}")
    return in_lines(lines)
