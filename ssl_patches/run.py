"""One pretraining run, from a checked configuration to an encoder in use.

Everything that can be refused is refused before the run directory is touched: ``prepare`` builds all parts and counts
what a step costs, then the directory is claimed, and what comes after (``finish``) only reads what training left.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from ssl_patches import assemble, config
from ssl_patches.budget import Budget, count_flops
from ssl_patches.callbacks.checkpoint import Checkpoints, stopping_between_steps
from ssl_patches.callbacks.meter import Meter
from ssl_patches.checks import build
from ssl_patches.data.module import PatchDataModule
from ssl_patches.evaluation.command import check_probes
from ssl_patches.finish import finish
from ssl_patches.pretrainer import Pretrainer
from ssl_patches.run_dir import CONFIG, LAST, SUMMARY, checkpoint_to_resume, claim, default_name, origin_of
from ssl_patches.studies.claims import alone_in, refuse_others
from ssl_patches.trainer import PRECISIONS, TrainerSettings, choose_attention
from ssl_patches.wording import Failed


class Interrupted(Failed):
    """The user stopped a run; it can be resumed."""


@dataclass(frozen=True)
class Prepared:
    """A run that can start: nothing is written yet."""

    settings: TrainerSettings
    module: Pretrainer
    data: PatchDataModule
    flops: float  # of a training step, per image
    observers: list[L.Callback]


def pretrain(cfg: Mapping[str, Any], *, say: Callable[[str], None] = print) -> Path:
    """Runs ``cfg`` (checked) and returns its run directory. ValueError for a bad request, before anything is written."""
    began = time.monotonic()
    cfg = assemble.settled(cfg)
    return carry_out(cfg, prepare(cfg), began=began, end=finish, say=say)


def carry_out(
    cfg: Mapping[str, Any], run: Prepared, *, began: float, end: Callable[..., None], say: Callable[[str], None]
) -> Path:
    """Train what is prepared, alone in its run directory, and give what came out to ``end`` (``finish``, or the like)."""
    run_dir = Path(cfg["run_dir"] or default_name(cfg, run.module.name))
    checkpoint = checkpoint_to_resume(run_dir, run.module.origin, resume=cfg["resume"], overwrite=cfg["overwrite"])
    if checkpoint and (run_dir / SUMMARY).is_file() and run.module.steps and checkpoint["global_step"] >= run.module.steps:
        say(f"{run_dir}: finished already; a larger budget goes on from there")
        return run_dir
    refuse_others(run_dir)
    claim(run_dir, resume=cfg["resume"], overwrite=cfg["overwrite"])
    with alone_in(run_dir):
        for left in (SUMMARY, *(f"figures/{name}.png" for name in run.module.tasks)):
            (run_dir / left).unlink(missing_ok=True)  # of the smaller budget that this run goes beyond
        cfg = {**cfg, "run_dir": str(run_dir), "resume": False, "overwrite": False}
        config.save(cfg, run_dir / CONFIG)
        run.data.start_batch = checkpoint["global_step"] if checkpoint else 0
        say(_opening(run_dir, run, checkpoint))
        _fit(cfg, run_dir, run, resumed=checkpoint is not None)
        end(cfg, run_dir, run.module, run.data, flops=run.flops, began=began, say=say)
    return run_dir


def pretrainer(cfg: Mapping[str, Any], train: Any, **settings: Any) -> Pretrainer:
    """The module that trains: the encoder on all parts. ``settings``: what does not come from ``cfg``."""
    parts = assemble.parts(cfg)
    return Pretrainer(encoder=parts.encoder, parts=parts.parts, views=parts.views, recipe=parts.recipe, **settings)


def prepare(cfg: Mapping[str, Any], *, make: Callable[..., Pretrainer] = pretrainer) -> Prepared:
    """Build everything and count the cost of a step. ValueError where parts, data or budget do not fit."""
    settings: TrainerSettings = build(cfg["trainer"])
    check_probes(cfg["evaluation"], "evaluation.")
    train, val = (assemble.source(cfg, split, whole=False) for split in ("train", "val"))
    loading = {key: cfg["data"][key] for key in ("batch_size", "num_workers")}
    data = PatchDataModule(train=train, val=val, seed=cfg["seed"], **loading)
    origin = origin_of(cfg, train.fingerprint())
    module = make(cfg, train, batch_size=data.batch_size, seed=cfg["seed"], origin=origin)
    budget = Budget(**cfg["budget"])
    sample = torch.stack([train[index][0] for index in range(min(4, len(train)))])
    flops = count_flops(module, lambda twin, images: twin.losses(images)[0], sample)
    module.steps = budget.steps(dataset=len(train), batch_size=data.batch_size, flops_per_image=flops)
    module.seconds = budget.seconds
    return Prepared(settings, module, data, flops, assemble.observers(cfg))


def _fit(cfg: Mapping[str, Any], run_dir: Path, run: Prepared, *, resumed: bool) -> None:
    """Train to the end of the budget. Raises Interrupted after ctrl-C, with the last step saved."""
    settings, module = run.settings, run.module
    meter = Meter(run_dir / "metrics.csv", every=settings.log_every, flops_per_image=run.flops)
    checkpoints = Checkpoints(
        run_dir / LAST.parent,
        minutes=settings.checkpoint_minutes,
        steps=settings.checkpoint_steps,
        keep=settings.checkpoints_kept,
    )
    logger = build(cfg["logger"], run_dir=run_dir) if cfg.get("logger") else False
    choose_attention(module, accelerator=settings.accelerator, precision=settings.precision)
    _hush()
    trainer = L.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=PRECISIONS[settings.precision],
        max_steps=-1 if module.steps is None else module.steps,
        max_epochs=-1,  # the stream of batches never ends: a run is one Lightning epoch
        logger=logger,
        callbacks=[*run.observers, meter, checkpoints],  # the meter ends a step: what observers take is not waiting for data
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=run_dir,
    )
    stopped = False
    try:
        with stopping_between_steps(trainer) as came:
            trainer.fit(module, datamodule=run.data, ckpt_path=checkpoints.last if resumed else None, weights_only=True)
        stopped = bool(came) and module.progress() < 1
    except (KeyboardInterrupt, SystemExit):  # SIGTERM becomes a SystemExit of Lightning's
        stopped = True
    finally:
        if "wandb" in sys.modules and logger:
            sys.modules["wandb"].finish()
    if stopped:
        saved = f", saved in {checkpoints.last}" if checkpoints.last.exists() else ""
        raise Interrupted(f"stopped after {trainer.global_step} steps{saved}; go on with run_dir={run_dir} resume=true")


def _opening(run_dir: Path, run: Prepared, checkpoint: Mapping[str, Any] | None) -> str:
    module, train = run.module, run.data.train
    grids = [sampler.grid for sampler in module.samplers.values()]
    tiles = " and ".join(f"{grid.rows} x {grid.cols} tiles of {grid.tile} px" for grid in grids) or "whole"
    length = f"{module.steps} steps of {module.batch_size} images" if module.steps else f"{module.seconds:g} seconds"
    lines = [
        f"{module.name}: {len(train)} images, {tiles}, {module.encoder.architecture} "
        f"({sum(p.numel() for p in module.encoder.parameters()) / 1e6:.1f} M parameters), {run.flops / 1e9:.2f} GFLOP per image",
        f"{length} -> {run_dir}",
    ]
    if hasattr(train, "split_rule"):
        lines.insert(1, f"data: {train.split_rule}; images loaded at {train.load_size} px")
    if checkpoint:
        lines.append(f"resumed at step {checkpoint['global_step']}")
    return "\n".join(lines)


def _hush() -> None:
    """Lightning's tips and its hints about settings that are deliberate here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")  # also where Slurm is there and not meant
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)`.*")
