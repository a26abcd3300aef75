"""How long will a study take on this machine? One training step of each configuration, measured; nothing is written.

Some images forward and backward in the run's own precision, up to three times, and the fastest counts; time is taken to be
proportional to images. What comes on top: loading the images, the export and the probes of each run. The trap: a
machine with other work on it measures that too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ssl_patches.budget import Budget
from ssl_patches.run import Prepared
from ssl_patches.studies.running import prepare_job
from ssl_patches.trainer import choose_attention

WORK = 2e11  # FLOPs of a measured step at most: a second or two on a CPU
PATIENCE = 5.0  # seconds after which it is not repeated


@dataclass(frozen=True)
class Estimate:
    """Of a whole run: images seen, FLOPs executed, seconds of training."""

    images: float
    flops: float
    seconds: float


class Estimator:
    """Measures each configuration once: seeds, learning rates and budgets cost the same per image."""

    def __init__(self) -> None:
        self.measured: dict[str, tuple[float, float, int]] = {}

    def __call__(self, cfg: Mapping[str, Any]) -> Estimate:
        shape = json.dumps({key: value for key, value in cfg.items() if key not in ("seed", "budget", "optimizer")})
        if shape not in self.measured:
            self.measured[shape] = _measure(cfg)
        flops, seconds, dataset = self.measured[shape]
        budget, batch = Budget(**cfg["budget"]), cfg["data"]["batch_size"]
        steps = budget.steps(dataset=dataset, batch_size=batch, flops_per_image=flops)
        images = steps * batch if steps else budget.seconds / seconds
        return Estimate(images, images * flops, images * seconds)


def _measure(cfg: Mapping[str, Any]) -> tuple[float, float, int]:
    """FLOPs and seconds per image, and the number of training images."""
    run = prepare_job(dict(cfg))
    return run.flops, seconds_per_image(run), len(run.data.train)


def seconds_per_image(run: Prepared) -> float:
    """Of a step, forward and backward, on this machine. The module is left on the run's device, with gradients."""
    count = min(run.data.batch_size, max(4, round(WORK / run.flops)))
    device, precision = {"gpu": "cuda", "cpu": "cpu"}[run.settings.accelerator], run.settings.numbers()[0]
    images = torch.stack([run.data.train[index][0] for index in range(count)]).to(device)
    module = run.module.to(device).train()
    choose_attention(module, accelerator=run.settings.accelerator, precision=precision)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = module.losses(images)[0]
        loss.backward()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - began)
        if sum(times) > PATIENCE:
            break
    return min(times) / count
