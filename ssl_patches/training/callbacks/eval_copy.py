"""What an observer looks at: a copy of what trains, so that nothing it does can reach the original.

Looking in place would mean to put back the modes, the BatchNorm statistics that calibration
replaces, the position table that ``TokenEncoder.features`` settles, what a ViT remembers of having
been shown, and the random stream. One forgotten, and the run with its observer is another run than
the one without. A copy costs its parameters, once a look.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from ssl_patches.data.module import ordered_loader
from ssl_patches.encoders.base import Encoder
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.types import Features, ImageBatch
from ssl_patches.views import resample

BATCH = 128
CALIBRATION = 256  # training images that BatchNorm statistics of whole images are taken from


@contextmanager
def eval_copy(module: Pretrainer) -> Iterator[Pretrainer]:
    """Within it there is a copy of ``module`` in eval mode, without gradients.

    What is drawn from torch's generator within does not move it. The copy has no trainer: Lightning
    leaves it behind when a module is copied.
    """
    devices = [module.device] if module.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        yield copy.deepcopy(module).eval()


def held(source: Any, count: int | None) -> ImageBatch:
    """At most ``count`` images of ``source`` (None: all), the same ones every time, in memory as
    uint8."""
    batches = list(
        ordered_loader(
            source, batch_size=BATCH, num_workers=0, limit=count and min(count, len(source))
        )
    )
    return ImageBatch(*(torch.cat(part) for part in zip(*batches, strict=True)))


def normalised(module: Pretrainer, views: Tensor) -> Tensor:
    """Views (B, C, S, S) uint8, or float in 0..1, as the exported model wants them: all parts have
    its mean and deviation."""
    sampler = next(iter(module.samplers.values()))
    return resample.normalised(views, sampler.mean, sampler.std)


def whole(module: Pretrainer, images: Tensor) -> Tensor:
    """Stored images (B, C, H, W) uint8 -> whole views, normalised, on the module's device. The
    module is in eval mode."""
    return normalised(module, module.views(images.to(module.device)))


def calibrated(module: Pretrainer, data: L.LightningDataModule) -> Encoder:
    """The encoder of a twin with the statistics of whole images, as it would be exported now; loads
    images only if asked."""

    def batches() -> Iterator[Tensor]:
        for images in held(data.train, CALIBRATION).images.split(BATCH):
            yield whole(module, images)

    module.encoder.calibrate(batches())
    return module.encoder.eval()


def features(
    encoder: Encoder, module: Pretrainer, images: Tensor, *, views: nn.Module | None = None
) -> Tensor:
    """Pooled features (N, dim) float32 on the CPU of stored images; of ``views`` of them where
    given, else whole."""
    found = []
    for some in images.split(BATCH):
        seen = (
            whole(module, some)
            if views is None
            else normalised(module, views(some.to(module.device)))
        )
        found.append(encoder.features(seen)[0].pooled.float().cpu())
    return torch.cat(found)


def maps(encoder: Encoder, module: Pretrainer, images: Tensor, *, layer: int = -1) -> Features:
    """The features of one layer of a few whole images, with their maps."""
    return encoder.features(whole(module, images), layers=(layer,))[0]


def mean_metrics(module: Pretrainer, images: Tensor, *, seed: int) -> Mapping[str, float]:
    """Loss and metrics of the pretext task on ``images``, a mean over batches as large as the
    training's.

    Views and tiles are drawn as in training, with the same draw in every call; the network is in
    eval mode.
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
