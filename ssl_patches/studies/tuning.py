"""Choose a tuned setting: trials at a share of the budget, judged on held-out *training* images.

Every task gets the same number of trials, with a seed that no run of the study has. A trial is no
run: it makes no export and never reads a test image. Its encoder, calibrated as for an export, is
probed on training images: the probe learns from four fifths of them and is judged on the rest. What
is best there is taken, whatever the test would have said.

``trial.json`` says value, images and settings; the checkpoints go, they were means. The trap: a
trial that diverges (features not finite) is a result, not a failure; it only cannot win.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ssl_patches.config.atomic import write_json
from ssl_patches.config.run_dir import CONFIG, LAST, TRIAL
from ssl_patches.data import build as build_data
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.evaluation.features.extract import extract
from ssl_patches.evaluation.probes.linear import linear_probe, stratified
from ssl_patches.evaluation.rows import TRAINED, accuracy_row
from ssl_patches.training.callbacks.eval_copy import eval_copy
from ssl_patches.training.pretrainer import Pretrainer

RESULT, SETTINGS = TRIAL, "settings.yaml"
HELD_OUT = 0.2
SPLIT_SEED = 20  # of the part of train that judges


def judge(
    cfg: Mapping[str, Any],
    run_dir: Path,
    module: Pretrainer,
    data: PatchDataModule,
    *,
    flops: float = 0.0,
    **_: Any,
) -> None:
    """End a trial: write ``trial.json`` with the accuracy of a linear probe on held-out training
    images, in percent. ``flops``: of a training step, per image."""
    end_trial(
        run_dir, _probed(cfg, module.cpu()), images=module.steps_done * data.batch_size, flops=flops
    )


def end_trial(run_dir: Path, found: Mapping[str, Any], *, images: int, flops: float) -> None:
    """Write ``trial.json`` and take away what is needed no more. ``found``: what the probe said."""
    spent = {"images": images, "flops": images * flops}
    write_json(run_dir / RESULT, {"value": None, **found, **spent})
    shutil.rmtree(run_dir / LAST.parent, ignore_errors=True)
    for left in run_dir.glob("nonfinite-*.ckpt"):
        left.unlink()
    if (run_dir / CONFIG).is_file():  # whoever looks for runs shall not find one here
        os.replace(run_dir / CONFIG, run_dir / SETTINGS)


def probe_copy(cfg: Mapping[str, Any], module: Pretrainer) -> dict[str, Any]:
    """Judge a module that goes on training, as ``judge`` does; nothing of it is touched."""
    with eval_copy(module) as copied, torch.enable_grad():
        return _probed(cfg, copied.cpu())


def _probed(cfg: Mapping[str, Any], module: Pretrainer) -> dict[str, Any]:
    module.encoder.calibrate(build_data.whole_batches(cfg))
    mean, std = build_data.pixel_statistics(cfg)
    features, labels = extract(
        module.encoder.export(cfg["image_size"]),
        ordered_loader(
            build_data.source(cfg, "train", whole=True),
            batch_size=cfg["evaluation"]["batch_size"],
            num_workers=cfg["data"]["num_workers"],
            limit=cfg["evaluation"]["train_images"],
        ),
        mean=mean,
        std=std,
        device="cpu",
        precision=cfg["trainer"].get("precision", "fp32"),
    )
    features, labels = features[labels >= 0], labels[labels >= 0]
    if not features.isfinite().all():
        return {"diverged": True}
    held = stratified(labels, share=HELD_OUT, seed=SPLIT_SEED)
    predicted, _ = linear_probe(
        features[~held], labels[~held], features[held], classes=int(labels.max()) + 1
    )
    row = accuracy_row(predicted, labels[held], model=TRAINED, data="train", metric="linear_top1")
    return {
        "metric": "linear_top1 on held-out training images",
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "n": row.n,
    }


def value_of(directory: Path) -> float | None:
    """Read the accuracy of a trial in percent; None for one that diverged."""
    return json.loads((directory / RESULT).read_text(encoding="utf-8"))["value"]


def winner(values: Sequence[float | None]) -> int | None:
    """Return the index of the best trial, the first of equals; None when all diverged."""
    finite = [value for value in values if value is not None]
    return values.index(max(finite)) if finite else None
