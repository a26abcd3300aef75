"""Do all that a run would do but training, so that its cost is known before: ``ssl-patches pretrain
--dry-run``.

Everything is composed, checked and built as for the run, and refused alike. Time is measured on a
step of few images, memory counted on fewer. The only thing written is a picture of the tiles, in
the current directory, under a name that is free: a run directory with something in it would be one
in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_patches.config import mixture
from ssl_patches.config.messages import Failed
from ssl_patches.config.plain_text import in_lines
from ssl_patches.config.run_dir import refuse_used
from ssl_patches.data import build as build_data
from ssl_patches.data.build import data_name
from ssl_patches.data.module import items_of
from ssl_patches.training import cost
from ssl_patches.training.callbacks.alarms import TRY, of_geometry
from ssl_patches.training.cost import duration, seconds_per_image
from ssl_patches.training.figures import draw_tiles
from ssl_patches.training.prepare import Prepared, prepare, resolve_run_dir
from ssl_patches.training.pretrainer import step_seed
from ssl_patches.training.process import before_training
from ssl_patches.training.statistics import with_statistics
from ssl_patches.training.weights import with_pinned_weights

PICTURE = "dry_run.png"
ROWS = 4  # images in the picture


def dry_run(cfg: Mapping[str, Any]) -> str:
    """Describe what a checked configuration would do and cost, in lines for a person. ValueError
    where ``pretrain`` would refuse."""
    before_training()
    cfg, told = with_statistics(with_pinned_weights(cfg))
    run = prepare(cfg)
    run_dir, checkpoint = resolve_run_dir(cfg, run)
    refuse_used(run_dir, resume=cfg["resume"], overwrite=cfg["overwrite"])
    start = f"goes on at step {checkpoint['global_step']}" if checkpoint else "starts anew"
    rows = [
        ("run", f"{run_dir}: {start}" if cfg["run_dir"] else "in runs/, as run_dir= is not given")
    ]
    rows += [("weights", line) for line in told]
    rows += [*_parts(cfg, run), *_course(run), *_cost(run), ("picture", str(_picture(cfg, run)))]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {text}" for name, text in rows]
    return in_lines(["dry run: composed, checked and built; nothing was trained", "", *lines])


def _parts(cfg: Mapping[str, Any], run: Prepared) -> list[tuple[str, str]]:
    """Describe the encoder, then task and tiles of each part, then data."""
    module, train = run.module, run.data.train
    encoder = module.encoder
    rows = [
        (
            "encoder",
            (
                f"{encoder.architecture}: {_count(encoder)} parameters, features of {encoder.dim}"
                " numbers"
            ),
        )
    ]
    nodes = mixture.nodes(cfg)
    for name, sampler, task in module.named_parts():
        weight = f", weight {nodes[name]['weight']:g}" if len(module.tasks) > 1 else ""
        grid = sampler.grid
        touching = "touching" if grid.dense else f"at least {sampler.distance:g} px apart"
        rows.append(("task", f"{name}: head of {_count(task)} parameters, not exported{weight}"))
        rows.append(
            (
                "tiles",
                (
                    f"{grid.rows} x {grid.cols} of {grid.tile} px, {touching}, in views of"
                    f" {cfg['image_size']} px"
                ),
            )
        )
        rows += [
            ("ALARM", f"{wrong}. Try: {TRY[alarm]}") for alarm, wrong in of_geometry(task, sampler)
        ]
    held = f", {len(run.data.val):,} held out" if run.data.val is not None else ""
    size = f", loaded at {train.load_size} px" if train.load_size else ""
    return [
        *rows,
        ("data", f"{data_name(cfg['data'])}: {len(train):,} images to train on{held}{size}"),
        *((("split", train.split_rule),) if train.split_rule else ()),
        *(("images", line) for line in build_data.remarks(train, run.data.val)),
    ]


def _course(run: Prepared) -> list[tuple[str, str]]:
    """Step, precision and learning rate."""
    module, settings, recipe = run.module, run.settings, run.module.recipe
    shards = settings.processes * settings.accumulate
    divided = f" = {shards} shards of {run.data.batch_size}" if shards > 1 else ""
    precision, why = settings.resolved_precision()
    rate = (
        f"{recipe.peak_lr(module.batch_size):.3g} at its peak (base_lr {recipe.base_lr:g} x"
        f" {module.batch_size} / 256)"
    )
    fall = f", cool-down over the last {recipe.cooldown:.0%}" if recipe.cooldown else ""
    return [
        ("step", f"{module.batch_size} images{divided}"),
        ("precision", f"{precision}, {why}"),
        (
            "optimizer",
            (
                f"{type(recipe).__name__}, learning rate {rate}, warm-up over {recipe.warmup:.0%}"
                f" of the budget{fall}"
            ),
        ),
    ]


def _cost(run: Prepared) -> list[tuple[str, str]]:
    """Memory first: measuring time leaves the module on the device."""
    module, settings = run.module, run.settings
    device = "cuda" if settings.accelerator == "gpu" else "cpu"
    sample = torch.stack(
        [
            item[0]
            for item in items_of(
                run.data.train, [index % len(run.data.train) for index in range(2 * cost.FEW)]
            )
        ]
    ).to(device)
    module.to(device)
    needed = cost.measure_memory(module, sample, bf16=settings.resolved_precision()[0] == "bf16")
    seconds = seconds_per_image(run) / settings.processes
    images = float(
        module.steps * module.batch_size if module.steps else (module.seconds or 0) / seconds
    )
    epochs = images / len(run.data.train)
    steps = f"{module.steps:,} steps, " if module.steps else "about "
    where = "on this GPU" if device == "cuda" else "on this CPU"
    return [
        ("budget", f"{steps}{images:,.0f} images, {epochs:.3g} epochs"),
        (
            "FLOPs",
            (
                f"{run.flops / 1e9:.3g} GFLOP per image, {images * run.flops / 1e12:.3g} TFLOP in"
                " all, forward and backward"
            ),
        ),
        (
            "memory",
            (
                f"about {size_of(needed.step(run.data.batch_size))} on the device of a process, of"
                f" which weights and optimizer {size_of(needed.kept)}; Python, torch and the loader"
                " come on top"
            ),
        ),
        (
            "time",
            (
                f"about {duration(images * seconds)}, {1 / seconds:.0f} images/s {where}; loading,"
                " export, probes come on top"
            ),
        ),
    ]


def _picture(cfg: Mapping[str, Any], run: Prepared) -> Path:
    """Draw views and tiles as training draws them, of images over all of the training set."""
    train, count = run.data.train, min(ROWS, len(run.data.train))
    chosen = items_of(train, [index * len(train) // count for index in range(count)])
    images: Tensor = torch.stack([image for image, _, _ in chosen])
    module, path = run.module.cpu().train(), _free(Path(PICTURE))
    with torch.random.fork_rng([]):
        torch.manual_seed(step_seed(cfg["seed"], 0, 0))
        try:
            draw_tiles(
                path,
                images=images,
                views=module.views,
                samplers={name: sampler for name, sampler, _ in module.named_parts()},
                title=f"{module.name}: tiles as training cuts them, drawn anew at every step",
            )
        except OSError as error:
            raise Failed(
                f"{path.resolve()}: cannot be written ({error.strerror}); go to a folder where you"
                " may write"
            ) from None
    return path


def _free(path: Path) -> Path:
    """``path``, or the first of NAME-2, NAME-3, ... that is not there."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def _count(module: nn.Module) -> str:
    """Trainable parameters, in millions or thousands."""
    count = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count / 1e3:.1f} k"


def size_of(count: float) -> str:
    """Write a number of bytes in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
