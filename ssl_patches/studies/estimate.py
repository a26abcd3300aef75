"""Estimate how long a study takes here: one training step of each configuration is measured.
Nothing is written.

Some images forward and backward in the run's own precision, up to three times, and the fastest
counts; time is taken to be proportional to images. What comes on top: loading the images, the
export and the probes of each run. The trap: a machine with other work on it measures that too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssl_patches.training.budget import Budget
from ssl_patches.training.cost import seconds_per_image
from ssl_patches.training.prepare import prepare


@dataclass(frozen=True)
class RunCost:
    """The cost of a whole run: images seen, FLOPs executed, seconds of training."""

    images: float
    flops: float
    seconds: float


class Estimator:
    """Measure each configuration once: seeds, learning rates and budgets cost the same per
    image."""

    def __init__(self) -> None:
        self.measured: dict[str, tuple[float, float, int]] = {}

    def __call__(self, cfg: Mapping[str, Any]) -> RunCost:
        shape = json.dumps(
            {key: value for key, value in cfg.items() if key not in ("seed", "budget", "optimizer")}
        )
        if shape not in self.measured:
            self.measured[shape] = _measure(cfg)
        flops, seconds, dataset = self.measured[shape]
        budget, batch = Budget(**cfg["budget"]), cfg["data"]["batch_size"]
        steps = budget.steps(dataset=dataset, batch_size=batch, flops_per_image=flops)
        images = steps * batch if steps else (budget.seconds or 0.0) / seconds
        return RunCost(images, images * flops, images * seconds)


def _measure(cfg: Mapping[str, Any]) -> tuple[float, float, int]:
    """FLOPs and seconds per image, and the number of training images."""
    run = prepare(dict(cfg))
    return run.flops, seconds_per_image(run), len(run.data.train)
