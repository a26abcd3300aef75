"""Build everything that a run needs and count what a step costs; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from ssl_patches.config.baseline import is_supervised
from ssl_patches.config.instantiate import build
from ssl_patches.config.run_dir import (
    checkpoint_to_resume,
    default_name,
    origin_of,
    same_batch,
)
from ssl_patches.data.index.listing import one_look
from ssl_patches.data.live import Datasets
from ssl_patches.data.module import EndlessBatches, items_of
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.evaluation.probes.table import check_probes
from ssl_patches.training import build as build_run
from ssl_patches.training import processes, supervised
from ssl_patches.training.budget import Budget, count_flops, count_update_flops
from ssl_patches.training.layer_rates import layer_scales
from ssl_patches.training.memory import check_batch
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.settings import TrainerSettings


@dataclass(frozen=True)
class Prepared:
    """A run that can start: nothing is written yet.

    ``flops``: of a training step, per image. ``partial``: a step leaves parameters without a
    gradient; found out only where several processes must know.
    """

    settings: TrainerSettings
    module: Pretrainer
    data: PatchDataModule
    flops: float
    observers: list[L.Callback]
    partial: bool


def resolve_run_dir(cfg: Mapping[str, Any], run: Prepared) -> tuple[Path, dict[str, Any] | None]:
    """Return the run directory and the checkpoint to go on from, None for a new run.

    ValueError where the checkpoint is another run's, or counts other steps.
    """
    run_dir = Path(cfg["run_dir"] or default_name(cfg, run.module.name))
    checkpoint = checkpoint_to_resume(
        run_dir,
        run.module.origin,
        resume=cfg["resume"],
        overwrite=cfg["overwrite"],
        former_fingerprint=run.data.train.former_fingerprint(),
    )
    if checkpoint:
        same_batch(checkpoint, run.module.batch_size, run.data.batch_size)
    return run_dir, checkpoint


def pretrainer(cfg: Mapping[str, Any], train: Any, **settings: Any) -> Pretrainer:
    """Build the module that trains: the encoder on all parts.

    ``settings``: arguments of ``Pretrainer`` that do not come from ``cfg``. ValueError where parts
    do not fit each other.
    """
    built = build_run.components(cfg)
    return Pretrainer(
        encoder=built.encoder,
        parts=built.parts,
        views=built.views,
        recipe=built.recipe,
        spread=built.spread,
        **settings,
    )


def prepare(cfg: Mapping[str, Any], sources: Datasets | None = None) -> Prepared:
    """Build everything that a run needs and count the cost of a step.

    ``sources``: Dataset objects of the Python API by split, where ``cfg`` cannot name the images.
    ValueError where parts, data, processes or budget do not fit.
    """
    settings: TrainerSettings = build(cfg["trainer"])
    processes.check_processes(settings, run_dir=cfg["run_dir"])
    if cfg["evaluation"]["probes"]:
        check_probes(cfg["evaluation"], "evaluation.")
    check_batch(cfg)
    with one_look():
        train, val = (
            build_run.training_source(cfg, split, sources=sources) for split in ("train", "val")
        )
    loading = {key: cfg["data"][key] for key in ("batch_size", "num_workers")}
    data = PatchDataModule(train=train, val=val, seed=cfg["seed"], **loading)
    EndlessBatches(
        length=len(train), batch_size=data.batch_size, seed=cfg["seed"], world=settings.processes
    )  # or refuse
    together = data.batch_size * settings.accumulate * settings.processes
    origin = origin_of(cfg, train.fingerprint())
    make = supervised.module if is_supervised(cfg) else pretrainer
    module = make(cfg, train, batch_size=together, seed=cfg["seed"], origin=origin)
    if module.encoder.fixed_statistics and not cfg["encoder"].get("pretrained"):
        raise ValueError(
            "encoder.fixed_statistics=true: random weights have no statistics worth keeping; set"
            " encoder.pretrained= to weights to go on from, or leave it out"
        )
    if module.recipe.frozen_layers:
        layer_scales(module.encoder, 1.0, module.recipe.frozen_layers)  # or refuse
    budget = Budget(**cfg["budget"])
    if budget.seconds and settings.processes > 1:
        raise ValueError(
            f"budget.seconds={budget.seconds:g}: the clocks of {settings.processes} processes"
            " differ, and so would their learning rates; set budget.images or budget.flops"
            " instead, or trainer.devices=1"
        )
    sample = torch.stack([item[0] for item in items_of(train, range(min(4, len(train))))])
    flops = count_flops(module, lambda copied, images: copied.losses(images)[0], sample)
    if module.recipe.multiplies:
        update = count_update_flops(module, lambda copied: copied.configure_optimizers())
        flops += update / module.batch_size
    module.steps = budget.steps(
        dataset=len(train), batch_size=module.batch_size, flops_per_image=flops
    )
    module.seconds = budget.seconds
    partial = settings.processes > 1 and processes.has_unused_parameters(module, sample)
    return Prepared(settings, module, data, flops, build_run.observers(cfg), partial)
