"""Estimate the memory and time of a training step before a run, from steps of few images.

Every tensor that an operation returns is counted while its storage lives, forward and backward, for
two small batches on a copy. At each moment of a step that tells what it holds anyway and what each
image adds; the peak is the moment that is highest at the step's own number of images, which need
not be the one that is highest for few. The optimiser's state is that of one step of the real one.

Trap: it is an estimate. Work space inside kernels and what the allocator keeps back come on top
(tests: within a quarter of the peak of torch's own allocator on a CPU), and so do Python with torch
itself and the loader's workers.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_patches.data.module import items_of
from ssl_patches.encoders.attention import choose_attention
from ssl_patches.training.live_tensors import LiveTensorMode
from ssl_patches.training.prepare import Prepared
from ssl_patches.training.pretrainer import Pretrainer

FEW = 4  # images of the smaller batch; the larger one has twice as many


@dataclass(frozen=True)
class Memory:
    """Memory of a training step, in bytes.

    ``kept``: weights and the optimiser's state. ``moments`` of a step: bytes held anyway, and bytes
    for each image.
    """

    kept: int
    moments: list[tuple[float, float]]

    def step(self, images: int) -> float:
        """Return the most bytes that a step of ``images`` on one device holds at once."""
        return self.kept + max(fixed + images * per_image for fixed, per_image in self.moments)


def measure_memory(module: Pretrainer, images: Tensor, *, bf16: bool) -> Memory:
    """Measure what steps hold in memory, on a copy: the run that follows does not notice.

    ``images`` (8, C, H, W) uint8, on the module's device. ``bf16``: under autocast.
    """
    copied, device = copy.deepcopy(module).train(), images.device.type
    copied.zero_grad()
    courses = []
    with torch.random.fork_rng([images.device] if device == "cuda" else []):
        optimizer = copied.configure_optimizers()
        for count in (FEW, 2 * FEW):
            with LiveTensorMode() as alive:
                batch = images[:count].clone()
                with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
                    loss = copied.losses(batch)[0]
                loss.backward()
            courses.append(alive.course)
            optimizer.step()
            optimizer.zero_grad()
    state = [
        value
        for each in optimizer.state.values()
        for value in each.values()
        if isinstance(value, Tensor)
    ]
    kept = sum(tensor.nbytes for tensor in (*copied.parameters(), *copied.buffers(), *state))
    return Memory(kept, _moments(*courses))


def _moments(few: list[int], twice: list[int]) -> list[tuple[float, float]]:
    if len(few) != len(
        twice
    ):  # operations that depend on what was drawn: moments do not correspond, peaks do
        few, twice = [max(few)], [max(twice)]
    growth = [(more - less) / FEW for less, more in zip(few, twice, strict=True)]
    return [
        (less - FEW * per_image, per_image) for less, per_image in zip(few, growth, strict=True)
    ]


WORK = 2e11  # FLOPs of a measured step at most: a second or two on a CPU
PATIENCE = 5.0  # seconds after which it is not repeated


def seconds_per_image(run: Prepared) -> float:
    """Measure the seconds per image of a step, forward and backward, on this machine.

    The module is left on the run's device, with gradients.
    """
    count = min(run.data.batch_size, max(4, round(WORK / run.flops)))
    device, precision = (
        {"gpu": "cuda", "cpu": "cpu"}[run.settings.accelerator],
        run.settings.resolved_precision()[0],
    )
    images = torch.stack([item[0] for item in items_of(run.data.train, range(count))]).to(device)
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


def duration(seconds: float) -> str:
    """Write seconds as ``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
