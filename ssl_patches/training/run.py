"""One pretraining run, from a checked configuration to an encoder in use.

Everything that can be refused is refused before the run directory is touched: ``prepare`` builds
all parts and counts what a step costs, then the directory is claimed, and what comes after
(``finish``) only reads what training left.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.instantiate import build
from ssl_patches.config.locks import exclusive, refuse_others
from ssl_patches.config.run_dir import (
    CONFIG,
    LAST,
    SUMMARY,
    claim,
)
from ssl_patches.data import build as build_data
from ssl_patches.data.live import Datasets
from ssl_patches.training import processes
from ssl_patches.training.callbacks.checkpoint import told_when_full
from ssl_patches.training.finish import finish
from ssl_patches.training.fit import fit, gathered
from ssl_patches.training.prepare import Prepared, place, prepare


def pretrain(
    cfg: Mapping[str, Any],
    *,
    say: Callable[[str], None] = print,
    sources: Datasets | None = None,
) -> Path:
    """Runs ``cfg`` (checked) and returns its run directory. ValueError for a bad request, before
    anything is written.

    In a process that follows another (see ``launch``) it trains along and leaves the run directory
    alone.
    """
    began = time.monotonic()
    cfg = build_data.with_measured_statistics(cfg, sources=sources)
    end = partial(finish, sources=sources)
    return carry_out(cfg, prepare(cfg, sources=sources), began=began, end=end, say=say)


def carry_out(
    cfg: Mapping[str, Any],
    run: Prepared,
    *,
    began: float,
    end: Callable[..., None],
    say: Callable[[str], None],
) -> Path:
    """Train what is prepared, alone in its run directory, and give what came out to ``end``
    (``finish``, or the like)."""
    run_dir, checkpoint = place(cfg, run)
    if (
        checkpoint
        and (run_dir / SUMMARY).is_file()
        and run.module.steps
        and checkpoint["global_step"] >= run.module.steps
    ):
        say(f"{run_dir}: finished already; a larger budget goes on from there")
        return run_dir
    run.data.start_batch = checkpoint["global_step"] * run.settings.accumulate if checkpoint else 0
    if processes.follows():
        fit(run_dir, run, resumed=checkpoint is not None, logger=False)
        return run_dir
    logger = build(cfg["logger"], run_dir=run_dir) if cfg.get("logger") else False
    refuse_others(run_dir)
    claim(run_dir, resume=cfg["resume"], overwrite=cfg["overwrite"])
    with exclusive(run_dir), told_when_full(run_dir, run_dir / LAST):
        for left in (SUMMARY, *(f"figures/{name}.png" for name in run.module.tasks)):
            (run_dir / left).unlink(
                missing_ok=True
            )  # of the smaller budget that this run goes beyond
        trainer = {**cfg["trainer"], "precision": run.settings.numbers()[0]}
        cfg = {
            **cfg,
            "run_dir": str(run_dir),
            "resume": False,
            "overwrite": False,
            "trainer": trainer,
        }
        config.save(cfg, run_dir / CONFIG)
        say(_opening(run_dir, run, checkpoint))
        divided = run.settings.strategy == "fsdp"
        module = copy.deepcopy(run.module) if divided else run.module
        with processes.processes(run.settings, run_dir / CONFIG):
            fit(run_dir, run, resumed=checkpoint is not None, logger=logger)
        if divided:
            module = gathered(module, run.module, run_dir / LAST)
        end(cfg, run_dir, module, run.data, flops=run.flops, began=began, say=say)
    return run_dir


def _opening(run_dir: Path, run: Prepared, checkpoint: Mapping[str, Any] | None) -> str:
    module, train = run.module, run.data.train
    grids = [sampler.grid for sampler in module.samplers.values()]
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
    if getattr(module.encoder, "loaded", None) and not checkpoint:
        lines.append(module.encoder.loaded)
    precision, why = run.settings.numbers()
    if run.settings.precision == "auto":
        lines.append(f"precision {precision} ({why})")
    if quicker := run.settings.products():
        lines.append(f"linear maps in oneDNN ({quicker}; trainer.onednn=false turns it off)")
    if run.settings.processes > 1 or run.settings.accumulate > 1:
        lines.append(
            f"each step in {run.settings.processes} processes ({run.settings.strategy}) x"
            f" {run.settings.accumulate} shards of {run.data.batch_size} images"
        )
    if checkpoint:
        lines.append(f"resumed at step {checkpoint['global_step']}")
    return "\n".join(lines)
