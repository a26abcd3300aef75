"""One pretraining run from a checked configuration to an encoder in use: build, train, draw, export, evaluate, say.

Everything that can be refused is refused before the run directory is touched.
"""

from __future__ import annotations

import logging
import platform
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import timm
import torch
import torchvision

import ssl_patches
from ssl_patches import assemble, config
from ssl_patches.budget import Budget, count_flops
from ssl_patches.callbacks.checkpoint import Checkpoints, stopping_between_steps
from ssl_patches.callbacks.meter import Meter
from ssl_patches.checks import Failed, build
from ssl_patches.data.module import PatchDataModule
from ssl_patches.evaluation.command import check_probes, evaluate_run
from ssl_patches.export import export_encoder
from ssl_patches.figures import draw_task
from ssl_patches.pretrainer import Pretrainer
from ssl_patches.run_dir import (
    CONFIG,
    LAST,
    SUMMARY,
    checkpoint_to_resume,
    claim,
    default_name,
    origin_of,
    write_json,
)
from ssl_patches.trainer import PRECISIONS, TrainerSettings, choose_attention
from ssl_patches.views import Whole

FIGURE_IMAGES = 4


class Interrupted(Failed):
    """The user stopped a run; it can be resumed."""


def pretrain(cfg: Mapping[str, Any], *, say: Callable[[str], None] = print) -> Path:
    """Runs ``cfg`` (checked) and returns its run directory. ValueError for a bad request, before anything is written."""
    began = time.monotonic()
    settings: TrainerSettings = build(cfg["trainer"])
    check_probes(cfg["evaluation"], "evaluation.")
    parts = assemble.parts(cfg)
    train, val = (assemble.source(cfg, split, whole=False) for split in ("train", "val"))
    batch_size = cfg["data"]["batch_size"]
    data = PatchDataModule(
        train=train, val=val, batch_size=batch_size, num_workers=cfg["data"]["num_workers"], seed=cfg["seed"]
    )
    module = Pretrainer(
        encoder=parts.encoder,
        parts=[parts.part],
        views=parts.views,
        recipe=parts.recipe,
        batch_size=batch_size,
        seed=cfg["seed"],
        origin=origin_of(cfg, train.fingerprint()),
    )
    budget = Budget(**cfg["budget"])
    sample = torch.stack([train[index][0] for index in range(min(4, len(train)))])
    flops = count_flops(module, lambda twin, images: twin.losses(images)[0], sample)
    module.steps = budget.steps(dataset=len(train), batch_size=batch_size, flops_per_image=flops)
    module.seconds = budget.seconds

    run_dir = Path(cfg["run_dir"] or default_name(cfg, parts.part.name))
    checkpoint = checkpoint_to_resume(run_dir, module.origin, resume=cfg["resume"])
    claim(run_dir, resume=cfg["resume"], overwrite=cfg["overwrite"])
    cfg = {**cfg, "run_dir": str(run_dir), "resume": False, "overwrite": False}
    config.save(cfg, run_dir / CONFIG)
    data.start_batch = checkpoint["global_step"] if checkpoint else 0
    say(_opening(run_dir, train, module, flops, checkpoint))

    meter = Meter(run_dir / "metrics.csv", every=settings.log_every, flops_per_image=flops)
    _fit(cfg, run_dir, settings, module, data, meter, resumed=checkpoint is not None)
    _note_unreadable(run_dir, train, say)

    encoder = module.encoder.cpu()
    statistics = assemble.pixel_statistics(assemble.channels_of(cfg))
    figure = run_dir / "figures" / f"{parts.part.name}.png"
    held_out = torch.stack([val[i * len(val) // FIGURE_IMAGES][0] for i in range(FIGURE_IMAGES)])
    draw_task(
        figure,
        images=held_out,
        views=Whole(image_size=cfg["image_size"]),
        sampler=module.samplers[parts.part.name].cpu(),
        task=module.tasks[parts.part.name].cpu(),
        encoder=encoder,
        title=f"{parts.part.name} on images that it was not trained on, after {module.steps_done * batch_size:,} images",
    )
    card = {"config": cfg, "data_fingerprint": train.fingerprint(), "images": module.steps_done * batch_size}
    proof = export_encoder(
        encoder,
        run_dir / "encoder",
        image_size=cfg["image_size"],
        mean=statistics[0],
        std=statistics[1],
        card=card,
        calibration=assemble.whole_batches(cfg),
        overwrite=True,
    )
    say(
        f"exported to {run_dir / 'encoder'}; timm gives the same features in a process without ssl_patches "
        f"(largest difference {proof.largest_relative_difference:.1e})"
    )
    rows = evaluate_run(run_dir / "encoder", cfg, say=say)
    used = {
        "images": module.steps_done * batch_size,
        "steps": module.steps_done,
        "tiles": module.steps_done * batch_size * parts.part.sampler.grid.cells,
        "flops": module.steps_done * batch_size * flops,
        "seconds": round(module.spent, 2),
    }
    write_json(
        run_dir / SUMMARY,
        {
            "task": parts.part.name,
            "encoder": parts.encoder.architecture,
            "results": rows,
            "budget_used": used,
            "images_per_second": round(used["images"] / max(module.spent, 1e-9), 2),
            "wall_seconds_of_this_process": round(time.monotonic() - began, 2),
            "seed": cfg["seed"],
            "data": cfg["data"]["_target_"].rpartition(".")[2],
            "data_fingerprint": train.fingerprint(),
            "export": asdict(proof),
            "versions": versions(),
        },
    )
    return run_dir


def _fit(
    cfg: Mapping[str, Any],
    run_dir: Path,
    settings: TrainerSettings,
    module: Pretrainer,
    data: PatchDataModule,
    meter: Meter,
    *,
    resumed: bool,
) -> None:
    """Train to the end of the budget. Raises Interrupted after ctrl-C, with the last step saved."""
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
        callbacks=[meter, checkpoints],
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
            trainer.fit(module, datamodule=data, ckpt_path=checkpoints.last if resumed else None, weights_only=True)
        stopped = bool(came) and module.progress() < 1
    except (KeyboardInterrupt, SystemExit):  # SIGTERM becomes a SystemExit of Lightning's
        stopped = True
    finally:
        if "wandb" in sys.modules and logger:
            sys.modules["wandb"].finish()
    if stopped:
        saved = f", saved in {checkpoints.last}" if checkpoints.last.exists() else ""
        raise Interrupted(f"stopped after {trainer.global_step} steps{saved}; go on with run_dir={run_dir} resume=true")


def versions() -> dict[str, str]:
    modules = {"ssl_patches": ssl_patches, "torch": torch, "torchvision": torchvision, "lightning": L, "timm": timm}
    return {"python": platform.python_version(), **{name: module.__version__ for name, module in modules.items()}}


def _opening(
    run_dir: Path, train: Any, module: Pretrainer, flops: float, checkpoint: Mapping[str, Any] | None
) -> str:
    name = next(iter(module.tasks))
    grid = module.samplers[name].grid
    length = f"{module.steps} steps of {module.batch_size} images" if module.steps else f"{module.seconds:g} seconds"
    lines = [
        f"{name}: {len(train)} images, {grid.rows} x {grid.cols} tiles of {grid.tile} px, {module.encoder.architecture} "
        f"({sum(p.numel() for p in module.encoder.parameters()) / 1e6:.1f} M parameters), {flops / 1e9:.2f} GFLOP per image",
        f"{length} -> {run_dir}",
    ]
    if hasattr(train, "split_rule"):
        lines.insert(1, f"data: {train.split_rule}; images loaded at {train.load_size} px")
    if checkpoint:
        lines.append(f"resumed at step {checkpoint['global_step']}")
    return "\n".join(lines)


def _note_unreadable(run_dir: Path, train: Any, say: Callable[[str], None]) -> None:
    """List the files that could not be read in the run directory, and say how many."""
    unreadable = train.unreadable() if hasattr(train, "unreadable") else []
    if unreadable:
        path = run_dir / "unreadable.csv"
        path.write_text("".join(f"{file},{reason!r}\n" for file, reason in unreadable), encoding="utf-8")
        say(f"{len(unreadable)} files could not be read and were left out; they are listed in {path}")


def _hush() -> None:
    """Lightning's tips and its hints about settings that are deliberate here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)`.*")
