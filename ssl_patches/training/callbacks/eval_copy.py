"""Copy what trains in eval mode for observers, so that nothing they do can reach the original.

Looking in place would mean to put back the modes, the BatchNorm statistics that calibration
replaces, and the random stream. One forgotten, and the run with its observer is another run than
the one without. A copy costs its parameters, once a look.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ssl_patches.data.module import ordered_loader
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.encoders.base import Encoder
from ssl_patches.evaluation.features.extract import AT_ONCE
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.types import ImageBatch
from ssl_patches.views import resample

BATCH = 128
CALIBRATION = 256  # training images that BatchNorm statistics of whole images are taken from


@contextmanager
def eval_copy(module: Pretrainer) -> Iterator[Pretrainer]:
    """Copy ``module`` for the block, in eval mode and without gradients.

    What is drawn from torch's generator within does not move it. The copy has no trainer: Lightning
    leaves it behind when a module is copied.
    """
    devices = [module.device] if module.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        yield copy.deepcopy(module).eval()


def first_images(source: Any, count: int | None) -> ImageBatch:
    """Load at most ``count`` images of a source (None: all), the same ones every time.

    Returns ``images`` (B, C, H, W) uint8 in memory.
    """
    batches = list(
        ordered_loader(
            source, batch_size=BATCH, num_workers=0, limit=count and min(count, len(source))
        )
    )
    return ImageBatch(*(torch.cat(part) for part in zip(*batches, strict=True)))


def normalised_views(module: Pretrainer, views: Tensor) -> Tensor:
    """Normalise views as the exported model wants them: all parts have its mean and deviation.

    ``views`` (B, C, S, S) uint8, or float in 0..1 -> the same shape, float.
    """
    _, sampler, _ = next(module.named_parts())
    return resample.normalised(views, sampler.mean, sampler.std)


def whole_views(module: Pretrainer, images: Tensor) -> Tensor:
    """Make whole views of stored images, normalised, on the device of a module in eval mode.

    ``images`` (B, C, H, W) uint8 -> (B, C, S, S).
    """
    return normalised_views(module, module.views(images.to(module.device)))


def calibrated(module: Pretrainer, data: PatchDataModule) -> Encoder:
    """Give the encoder of a copy the statistics of whole images, as it would be exported now.

    Images are loaded only where the encoder has such statistics.
    """

    def batches() -> Iterator[Tensor]:
        images = first_images(data.train, CALIBRATION).images
        hands = -(-len(images) // BATCH)
        for hand in range(hands):  # dealt, as ``whole_batches`` of the export are
            yield whole_views(module, images[hand::hands])

    module.encoder.calibrate(batches())
    return module.encoder.eval()


def pooled_features(
    encoder: Encoder, module: Pretrainer, images: Tensor, *, views: nn.Module | None = None
) -> Tensor:
    """Compute pooled features of stored images, of ``views`` of them where given, else whole.

    ``images`` (N, C, H, W) uint8 -> (N, dim) float32 on the CPU.
    """
    found = []
    for some in images.split(BATCH):
        seen = (
            whole_views(module, some)
            if views is None
            else normalised_views(module, views(some.to(module.device)))
        )
        # on a CPU in smaller parts: what a layer makes of them stays in its caches
        for part in seen.split(AT_ONCE if seen.device.type == "cpu" else BATCH):
            found.append(encoder.features(part)[0].pooled.float().cpu())
    return torch.cat(found)


def mean_metrics(module: Pretrainer, images: Tensor, *, seed: int) -> Mapping[str, float]:
    """Average loss and metrics of the pretext task over batches as large as the training's.

    ``images`` (N, C, H, W) uint8. Views and tiles are drawn as in training, with the same draw in
    every call; the network is in eval mode.
    """
    torch.manual_seed(seed)
    module.views.train()
    module.samplers.train()
    totals: dict[str, float] = {}
    for some in images.split(module.batch_size):
        _, metrics = module.losses(some.to(module.device))
        for key, value in metrics.items():
            totals[key] = totals.get(key, 0.0) + value.item() * len(some) / len(images)
    module.eval()
    return totals
