"""One pretraining run, from a checked configuration to an encoder in use.

Everything that can be refused is refused before the run directory is touched: ``prepare`` builds all parts and counts
what a step costs, then the directory is claimed, and what comes after (``finish``) only reads what training left.
"""

from __future__ import annotations

import copy
import logging
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from ssl_patches import assemble, config, launch
from ssl_patches.allocator import keep_freed_memory
from ssl_patches.budget import Budget, count_flops
from ssl_patches.callbacks.checkpoint import Checkpoints, Durable, told_when_full
from ssl_patches.callbacks.ema import EncoderAverage
from ssl_patches.callbacks.meter import Meter
from ssl_patches.callbacks.nonfinite import StopAtNonFinite
from ssl_patches.callbacks.stop import Stop
from ssl_patches.checks import build
from ssl_patches.data.module import EndlessBatches, PatchDataModule
from ssl_patches.evaluation.command import check_probes
from ssl_patches.finish import finish
from ssl_patches.pretrainer import Pretrainer
from ssl_patches.products import linears_in_onednn
from ssl_patches.run_dir import (
    CONFIG,
    LAST,
    SUMMARY,
    checkpoint_to_resume,
    claim,
    default_name,
    origin_of,
    read_checkpoint,
    same_batch,
)
from ssl_patches.studies.claims import alone_in, refuse_others
from ssl_patches.trainer import PRECISIONS, TrainerSettings, choose_attention, compile_in_place
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
    partial: bool  # does a step leave parameters out? Asked where several processes must know


def pretrain(cfg: Mapping[str, Any], *, say: Callable[[str], None] = print) -> Path:
    """Runs ``cfg`` (checked) and returns its run directory. ValueError for a bad request, before anything is written.

    In a process that follows another (see ``launch``) it trains along and leaves the run directory alone.
    """
    began = time.monotonic()
    cfg = assemble.settled(cfg)
    return carry_out(cfg, prepare(cfg), began=began, end=finish, say=say)


def carry_out(
    cfg: Mapping[str, Any], run: Prepared, *, began: float, end: Callable[..., None], say: Callable[[str], None]
) -> Path:
    """Train what is prepared, alone in its run directory, and give what came out to ``end`` (``finish``, or the like)."""
    run_dir, checkpoint = place(cfg, run)
    if checkpoint and (run_dir / SUMMARY).is_file() and run.module.steps and checkpoint["global_step"] >= run.module.steps:
        say(f"{run_dir}: finished already; a larger budget goes on from there")
        return run_dir
    run.data.start_batch = checkpoint["global_step"] * run.settings.accumulate if checkpoint else 0
    if launch.follows():
        _fit(run_dir, run, resumed=checkpoint is not None, logger=False)
        return run_dir
    logger = build(cfg["logger"], run_dir=run_dir) if cfg.get("logger") else False
    refuse_others(run_dir)
    claim(run_dir, resume=cfg["resume"], overwrite=cfg["overwrite"])
    with alone_in(run_dir), told_when_full(run_dir, run_dir / LAST):
        for left in (SUMMARY, *(f"figures/{name}.png" for name in run.module.tasks)):
            (run_dir / left).unlink(missing_ok=True)  # of the smaller budget that this run goes beyond
        trainer = {**cfg["trainer"], "precision": run.settings.numbers()[0]}
        cfg = {**cfg, "run_dir": str(run_dir), "resume": False, "overwrite": False, "trainer": trainer}
        config.save(cfg, run_dir / CONFIG)
        say(_opening(run_dir, run, checkpoint))
        divided = run.settings.strategy == "fsdp"
        module = copy.deepcopy(run.module) if divided else run.module
        with launch.processes(run.settings, run_dir / CONFIG):
            _fit(run_dir, run, resumed=checkpoint is not None, logger=logger)
        if divided:
            module = _gathered(module, run.module, run_dir / LAST)
        end(cfg, run_dir, module, run.data, flops=run.flops, began=began, say=say)
    return run_dir


def place(cfg: Mapping[str, Any], run: Prepared) -> tuple[Path, dict[str, Any] | None]:
    """The run directory and the checkpoint to go on from. ValueError when that is another run's."""
    run_dir = Path(cfg["run_dir"] or default_name(cfg, run.module.name))
    checkpoint = checkpoint_to_resume(run_dir, run.module.origin, resume=cfg["resume"], overwrite=cfg["overwrite"])
    if checkpoint:
        same_batch(checkpoint, run.module.batch_size, run.data.batch_size)
    return run_dir, checkpoint


def pretrainer(cfg: Mapping[str, Any], train: Any, **settings: Any) -> Pretrainer:
    """The module that trains: the encoder on all parts. ``settings``: what does not come from ``cfg``."""
    parts = assemble.parts(cfg)
    return Pretrainer(encoder=parts.encoder, parts=parts.parts, views=parts.views, recipe=parts.recipe, **settings)


def prepare(cfg: Mapping[str, Any], *, make: Callable[..., Pretrainer] = pretrainer) -> Prepared:
    """Build everything and count the cost of a step. ValueError where parts, data or budget do not fit."""
    _hush()
    settings: TrainerSettings = build(cfg["trainer"])
    launch.check(settings, run_dir=cfg["run_dir"])
    check_probes(cfg["evaluation"], "evaluation.")
    train, val = (assemble.stream(cfg, split) for split in ("train", "val"))
    loading = {key: cfg["data"][key] for key in ("batch_size", "num_workers")}
    data = PatchDataModule(train=train, val=val, seed=cfg["seed"], **loading)
    EndlessBatches(length=len(train), batch_size=data.batch_size, seed=cfg["seed"], world=settings.processes)  # or refuse
    together = data.batch_size * settings.accumulate * settings.processes
    origin = origin_of(cfg, train.fingerprint())
    module = make(cfg, train, batch_size=together, seed=cfg["seed"], origin=origin)
    budget = Budget(**cfg["budget"])
    if budget.seconds and settings.processes > 1:
        raise ValueError(
            f"budget.seconds={budget.seconds:g}: the clocks of {settings.processes} processes differ, and so would their "
            "learning rates; set budget.images or budget.flops instead, or trainer.devices=1"
        )
    sample = torch.stack([train[index][0] for index in range(min(4, len(train)))])
    flops = count_flops(module, lambda twin, images: twin.losses(images)[0], sample)
    module.steps = budget.steps(dataset=len(train), batch_size=module.batch_size, flops_per_image=flops)
    module.seconds = budget.seconds
    partial = settings.processes > 1 and launch.leaves_out(module, sample)
    return Prepared(settings, module, data, flops, assemble.observers(cfg), partial)


def _fit(run_dir: Path, run: Prepared, *, resumed: bool, logger: Any) -> None:
    """Train to the end of the budget. Raises Interrupted after ctrl-C or a signal, with the last step saved."""
    keep_freed_memory()
    run.data.store()
    settings, module = run.settings, run.module
    precision = settings.numbers()[0]
    *callbacks, stop, meter, checkpoints = _callbacks(run_dir, run)
    choose_attention(module, accelerator=settings.accelerator, precision=precision)
    if settings.compile:
        compile_in_place(module.tasks.values())
    trainer = L.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=launch.strategy(settings, partial=run.partial),
        plugins=[launch.environment(), Durable()],
        precision=PRECISIONS[precision],
        accumulate_grad_batches=settings.accumulate,
        max_steps=-1 if module.steps is None else module.steps,
        max_epochs=-1,  # the stream of batches never ends: a run is one Lightning epoch
        logger=logger,
        callbacks=[*callbacks, stop, meter, checkpoints],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=run_dir,
    )
    # between processes Lightning asks for SIGTERM in every step, which waits for the device; Stop does without
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
    stopped = False
    try:
        with stop.listening(), linears_in_onednn(module) if settings.products() else nullcontext():
            trainer.fit(module, datamodule=run.data, ckpt_path=checkpoints.last if resumed else None, weights_only=True)
        stopped = trainer.should_stop and module.progress() < 1
    except (KeyboardInterrupt, SystemExit):  # of a second signal
        stopped = True
    finally:
        if "wandb" in sys.modules and logger:
            sys.modules["wandb"].finish()
    if stopped:
        saved = f", saved in {checkpoints.last}" if checkpoints.last.exists() else ""
        raise Interrupted(f"stopped after {trainer.global_step} steps{saved}; go on with run_dir={run_dir} resume=true")


def _callbacks(run_dir: Path, run: Prepared) -> list[L.Callback]:
    """All that watches a run; the last three are Stop, Meter and Checkpoints."""
    settings, every = run.settings, run.settings.log_every
    # observers compute with the model by themselves: in the first process, and where it has a whole one
    observers = [] if launch.follows() or settings.strategy == "fsdp" else run.observers
    averages = [EncoderAverage(decay=settings.ema)] if settings.ema else []
    checkpoints = Checkpoints(
        run_dir / LAST.parent,
        minutes=settings.checkpoint_minutes,
        steps=settings.checkpoint_steps,
        keep=settings.checkpoints_kept,
        every=every,
    )
    meter = Meter(run_dir / "metrics.csv", every=every, flops_per_image=run.flops)
    # the meter ends a step: what observers take is not waiting for data
    return [*averages, StopAtNonFinite(run_dir, every=every), *observers, Stop(every=every), meter, checkpoints]


def _gathered(whole: Pretrainer, divided: Pretrainer, last: Path) -> Pretrainer:
    """``whole``, as the last checkpoint holds what was trained in pieces."""
    whole.load_state_dict(read_checkpoint(last)["state_dict"])
    whole.steps_done, whole.spent = divided.steps_done, divided.spent
    return whole


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
    if getattr(module.encoder, "loaded", None) and not checkpoint:
        lines.append(module.encoder.loaded)
    precision, why = run.settings.numbers()
    if run.settings.precision == "auto":
        lines.append(f"precision {precision} ({why})")
    if quicker := run.settings.products():
        lines.append(f"linear maps in oneDNN ({quicker}; trainer.onednn=false turns it off)")
    if run.settings.processes > 1 or run.settings.accumulate > 1:
        lines.append(
            f"each step in {run.settings.processes} processes ({run.settings.strategy}) x {run.settings.accumulate} shards "
            f"of {run.data.batch_size} images"
        )
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
