"""Finish a run when training is over: draw its task, export, evaluate, write the summary."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import timm
import torch
import torchvision

from ssl_patches.config.atomic import write_json
from ssl_patches.config.keys import key_of
from ssl_patches.config.malloc import give_back_freed_memory
from ssl_patches.config.messages import Say
from ssl_patches.config.run_dir import SUMMARY
from ssl_patches.config.version import __version__
from ssl_patches.data import build as build_data
from ssl_patches.data.build import data_name
from ssl_patches.data.files import write_quarantine
from ssl_patches.data.live import Datasets
from ssl_patches.data.module import items_of
from ssl_patches.data.source import ImageSource
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.evaluation.of_run import evaluate_run
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.export import Proof, add_results, export_encoder
from ssl_patches.export.command import commit
from ssl_patches.training.callbacks.alarms import FILE as ALARMS
from ssl_patches.training.figures import draw_task
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.views import Whole

FIGURE_IMAGES = 4


def finish(
    cfg: Mapping[str, Any],
    run_dir: Path,
    module: Pretrainer,
    data: PatchDataModule,
    *,
    flops: float,
    began: float,
    say: Say,
    words: Sequence[str] = (),
    sources: Datasets | None = None,
) -> None:
    """Draw, export and evaluate a trained module, and write ``summary.json``.

    ``flops``: of a step, per image. ``began``: time.monotonic() when the run started. ``words``:
    what was typed after ``ssl-patches pretrain``. ``sources``: as for ``prepare``. Failed where the
    export does not prove equal.
    """
    module.cpu()
    give_back_freed_memory()
    images = module.steps_done * module.batch_size
    fingerprint = data.train.fingerprint()
    _note_unreadable(run_dir, data.train, say)
    changed = _note_changed(data.train, time.time() - (time.monotonic() - began), say)
    _draw(cfg, run_dir, module, data, images, say)
    origin = {
        "config": cfg,
        "data_fingerprint": fingerprint,
        "images": images,
        "step": module.steps_done,
    }
    proof, rows = _in_use(cfg, run_dir, module, origin, say, sources)
    tiles = sum(sampler.grid.cells for _, sampler, _ in module.named_parts())
    summary = {
        "task": module.name,
        "encoder": module.encoder.architecture,
        "results": rows,
        "alarms": (
            json.loads((run_dir / ALARMS).read_text(encoding="utf-8"))
            if (run_dir / ALARMS).is_file()
            else []
        ),
        "protocol": PROTOCOL,
        "evaluation_precision": cfg["trainer"].get("precision", "fp32") if rows else None,
        "budget_used": {
            "images": images,
            "steps": module.steps_done,
            "tiles": images * tiles,
            "flops": images * flops,
            "seconds": round(module.spent, 2),
        },
        "images_per_second": round(images / max(module.spent, 1e-9), 2),
        "wall_seconds_of_this_process": round(time.monotonic() - began, 2),
        "words": list(words),
        "seed": cfg["seed"],
        "data": data_name(cfg["data"]),
        "data_fingerprint": fingerprint,
        "former_fingerprint": data.train.former_fingerprint(),
        "labels_fingerprint": _labels_of(data),
        "files_changed": changed,
        "export": None if proof is None else asdict(proof),
        "versions": versions(),
    }
    write_json(run_dir / SUMMARY, summary)


def _labels_of(data: PatchDataModule) -> str:
    """Return a hash of the labels of both splits, "" where they are not listed."""
    keys = [source.label_key() for source in (data.train, data.val) if source is not None]
    return key_of(labels=keys) if any(keys) else ""


def versions() -> dict[str, str]:
    """Return the versions of the libraries that influence results."""
    modules = {"torch": torch, "torchvision": torchvision, "lightning": L, "timm": timm}
    return {
        "python": platform.python_version(),
        "ssl_patches": __version__,
        **{name: module.__version__ for name, module in modules.items()},
    }


def _draw(
    cfg: Mapping[str, Any],
    run_dir: Path,
    module: Pretrainer,
    data: PatchDataModule,
    images: int,
    say: Say,
) -> None:
    """Draw the task at work on held-out images, in eval mode.

    Whole views, tiles in the middle of their cells; not where an observer has drawn it already, nor
    where too many of them prove damaged, which is said: the encoder is worth more than a picture.
    """
    if data.val is None:
        return
    held, count = data.val, min(FIGURE_IMAGES, len(data.val))
    try:
        chosen = items_of(held, [index * len(held) // count for index in range(count)])
    except ValueError as error:
        say(f"no picture of the task: {error}")
        return
    pictures = torch.stack([image for image, _, _ in chosen])
    for name, sampler, task in module.named_parts():
        if (path := run_dir / "figures" / f"{name}.png").is_file():
            continue
        draw_task(
            path,
            images=pictures,
            views=Whole(image_size=cfg["image_size"]),
            sampler=sampler,
            task=task,
            encoder=module.encoder,
            title=f"{name} on images that it was not trained on, after {images:,} images",
        )


def _in_use(
    cfg: Mapping[str, Any],
    run_dir: Path,
    module: Pretrainer,
    origin: Mapping[str, Any],
    say: Say,
    sources: Datasets | None,
) -> tuple[Proof | None, list[dict[str, Any]]]:
    """Export and evaluate what a run has trained, or say what is missing where it was not to."""
    folder = run_dir / "encoder"
    if cfg.get("export") == "none":
        say(
            "export=none: there is no encoder/, so nothing to load and nothing was evaluated;"
            f" later: ssl-patches export model={run_dir} output={folder}"
        )
        return None, []
    proof = _export(cfg, run_dir, module, origin, say, sources)
    if not cfg["evaluation"]["probes"]:
        say(
            "evaluation=none: there are no results and no floors; later: ssl-patches evaluate"
            f" model={run_dir}"
        )
        return proof, []
    rows = evaluate_run(folder, cfg, say=say, sources=sources)
    if rows:
        add_results(folder, rows)
    return proof, rows


def _export(
    cfg: Mapping[str, Any],
    run_dir: Path,
    module: Pretrainer,
    card: Mapping[str, Any],
    say: Say,
    sources: Datasets | None,
) -> Proof:
    folder = run_dir / "encoder"
    mean, std = build_data.pixel_statistics(cfg)
    proof = export_encoder(
        module.encoder,
        folder,
        image_size=cfg["image_size"],
        mean=mean,
        std=std,
        stored_range=cfg["data"].get("value_range"),
        card={"task": module.name, "commit": commit(), "weights": "trained", **card},
        calibration=build_data.whole_batches(cfg, sources=sources),
        overwrite=True,
    )
    say(
        f"exported to {folder}; timm gives the same features in a process without ssl_patches "
        f"(largest difference {proof.largest_relative_difference:.1e})"
    )
    return proof


def _note_unreadable(run_dir: Path, train: ImageSource, say: Callable[[str], None]) -> None:
    """List the files that could not be read in the run directory, and say how many."""
    unreadable = train.unreadable()
    if unreadable:
        path = run_dir / "unreadable.csv"
        write_quarantine(path, unreadable)
        say(
            f"{len(unreadable)} files could not be read and were left out; they are listed in"
            f" {path}"
        )


def _note_changed(train: ImageSource, moment: float, say: Callable[[str], None]) -> int:
    """Say how many training images changed after ``moment`` (as of ``time.time()``), and return it.

    They are read again in every epoch, so the encoder may have seen what they were and what they
    are, and the fingerprint is that of the start.
    """
    changed = train.changed_since(moment)
    if changed:
        say(
            f"{len(changed)} files of the training images changed while the run went on, the first"
            f" {changed[0]}: it may have seen both what they were and what they are"
        )
    return len(changed)
