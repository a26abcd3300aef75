"""Build everything that a run needs and count what a step costs; nothing is written."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from ssl_patches.config.instantiate import build
from ssl_patches.config.run_dir import (
    checkpoint_to_resume,
    default_name,
    origin_of,
    same_batch,
)
from ssl_patches.data.live import Datasets
from ssl_patches.data.module import EndlessBatches, PatchDataModule
from ssl_patches.evaluation.probes.table import check_probes
from ssl_patches.training import build as build_run
from ssl_patches.training import processes, supervised
from ssl_patches.training.budget import Budget, count_flops, count_update_flops
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.settings import TrainerSettings


@dataclass(frozen=True)
class Prepared:
    """A run that can start: nothing is written yet."""

    settings: TrainerSettings
    module: Pretrainer
    data: PatchDataModule
    flops: float  # of a training step, per image
    observers: list[L.Callback]
    partial: bool  # does a step leave parameters out? Asked where several processes must know


def place(cfg: Mapping[str, Any], run: Prepared) -> tuple[Path, dict[str, Any] | None]:
    """The run directory and the checkpoint to go on from. ValueError when that is another run's."""
    run_dir = Path(cfg["run_dir"] or default_name(cfg, run.module.name))
    checkpoint = checkpoint_to_resume(
        run_dir, run.module.origin, resume=cfg["resume"], overwrite=cfg["overwrite"]
    )
    if checkpoint:
        same_batch(checkpoint, run.module.batch_size, run.data.batch_size)
    return run_dir, checkpoint


def pretrainer(cfg: Mapping[str, Any], train: Any, **settings: Any) -> Pretrainer:
    """The module that trains: the encoder on all parts. ``settings``: what does not come from
    ``cfg``."""
    parts = build_run.parts(cfg)
    return Pretrainer(
        encoder=parts.encoder,
        parts=parts.parts,
        views=parts.views,
        recipe=parts.recipe,
        spread=parts.spread,
        **settings,
    )


def prepare(cfg: Mapping[str, Any], sources: Datasets | None = None) -> Prepared:
    """Build everything and count the cost of a step. ValueError where parts, data or budget do not
    fit."""
    silence_lightning()
    settings: TrainerSettings = build(cfg["trainer"])
    processes.check(settings, run_dir=cfg["run_dir"])
    check_probes(cfg["evaluation"], "evaluation.")
    train, val = (build_run.stream(cfg, split, sources=sources) for split in ("train", "val"))
    loading = {key: cfg["data"][key] for key in ("batch_size", "num_workers")}
    data = PatchDataModule(train=train, val=val, seed=cfg["seed"], **loading)
    EndlessBatches(
        length=len(train), batch_size=data.batch_size, seed=cfg["seed"], world=settings.processes
    )  # or refuse
    together = data.batch_size * settings.accumulate * settings.processes
    origin = origin_of(cfg, train.fingerprint())
    make = supervised.module if supervised.is_supervised(cfg) else pretrainer
    module = make(cfg, train, batch_size=together, seed=cfg["seed"], origin=origin)
    budget = Budget(**cfg["budget"])
    if budget.seconds and settings.processes > 1:
        raise ValueError(
            f"budget.seconds={budget.seconds:g}: the clocks of {settings.processes} processes"
            " differ, and so would their learning rates; set budget.images or budget.flops"
            " instead, or trainer.devices=1"
        )
    sample = torch.stack([train[index][0] for index in range(min(4, len(train)))])
    flops = count_flops(module, lambda twin, images: twin.losses(images)[0], sample)
    if module.recipe.multiplies:
        update = count_update_flops(module, lambda twin: twin.configure_optimizers())
        flops += update / module.batch_size
    module.steps = budget.steps(
        dataset=len(train), batch_size=module.batch_size, flops_per_image=flops
    )
    module.seconds = budget.seconds
    partial = settings.processes > 1 and processes.leaves_out(module, sample)
    return Prepared(settings, module, data, flops, build_run.observers(cfg), partial)


def silence_lightning() -> None:
    """Lightning's tips and its hints about settings that are deliberate here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings(
        "ignore", message=".*`srun` command is available.*"
    )  # also where Slurm is there and not meant
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)`.*")
