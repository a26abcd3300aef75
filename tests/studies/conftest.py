"""Runs as they lie on disk, written in milliseconds: what a comparison reads, and nothing that was
trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from ssl_patches import config

WORDS = ("encoder=vit_nano", "budget.images=2000", "evaluation.train_images=64")


@pytest.fixture(scope="session")
def composed() -> Callable[..., dict[str, Any]]:
    """The settings that ``pretrain`` would write, composed once for each lot of words."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}

    def settings(*words: str) -> dict[str, Any]:
        if words not in known:
            known[words] = config.compose("pretrain", [*WORDS, *words])
        return deepcopy(known[words])

    return settings


@pytest.fixture
def write_run(composed) -> Callable[..., Path]:
    """``write_run(FOLDER, linear_top1=37.5, seed=1, task="masked", ...)``: a finished run."""

    def write(
        folder: Path,
        *words: str,
        task: str = "jigsaw",
        seed: int = 0,
        fingerprint: str = "f" * 64,
        **metrics: float,
    ) -> Path:
        (folder / "figures").mkdir(parents=True)
        settings = {**composed(f"task={task}", *words), "seed": seed, "run_dir": str(folder)}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        rows = [_row("trained", metric, value) for metric, value in metrics.items()]
        rows += [_row("random_init", metric, 20.0 + seed) for metric in metrics]
        rows += [_row("raw_pixels", metric, 25.0) for metric in metrics]
        flops = {"jigsaw": 2e12, "masked": 1e12}.get(task, 3e12)
        summary = {
            "task": task,
            "encoder": "vit_tiny_patch16_224",
            "results": rows,
            "budget_used": {
                "images": 2000,
                "steps": 16,
                "tiles": 18000,
                "flops": flops,
                "seconds": 12.5,
            },
            "images_per_second": 160.0,
            "seed": seed,
            "data": "embedded",
            "data_fingerprint": fingerprint,
            "versions": {"torch": "2.15.0"},
        }
        (folder / "summary.json").write_text(json.dumps(summary))
        lines = [
            f"{step},{step * 100},{step * 1e11},{step * 0.6},1e-3,160,0.1,{4 / step},0.{step}"
            for step in range(1, 10)
        ]
        (folder / "metrics.csv").write_text(
            "\n".join(
                ["step,images,flops,seconds,lr,images_per_second,data_wait,loss,accuracy", *lines]
            )
        )
        Image.new("RGB", (1500, 300), (40, 90, 140)).save(folder / "figures" / f"{task}.png")
        return folder

    return write


def _row(model: str, metric: str, value: float) -> dict[str, Any]:
    return {
        "model": model,
        "data": "embedded",
        "metric": metric,
        "value": value,
        "low": value - 3,
        "high": value + 3,
        "n": 200,
    }


@pytest.fixture
def study(write_run, tmp_path) -> Path:
    """Two tasks, three seeds each; masked is better."""
    for seed in range(3):
        write_run(
            tmp_path / "study" / f"jigsaw-{seed}",
            task="jigsaw",
            seed=seed,
            linear_top1=30.0 + seed,
            knn20_top1=28.0 + seed,
        )
        write_run(
            tmp_path / "study" / f"masked-{seed}",
            task="masked",
            seed=seed,
            linear_top1=40.0 + seed,
            knn20_top1=29.0 + seed,
        )
    return tmp_path / "study"
