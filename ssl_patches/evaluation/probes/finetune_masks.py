"""Fine-tune the whole encoder on images with masks, and the same recipe from random weights.

The head is the linear map of ``probes.segmentation``: one product for each cell of the last feature
map, with the shares of the classes in the cell's pixels as targets. The recipe is that of
``probes.finetune`` with smaller batches, and image and mask are cut to the same box and flipped
together.

The traps: (a) the mask keeps its own resolution: shrunk to the image's it would lose thin things,
so it is read at ``FINE`` points per cell and side; (b) a cell that is mostly unlabelled has a small
say: shares of a cell sum to its labelled part.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from ssl_patches.config.schedule import warmup_cosine
from ssl_patches.data.masks import WithMasks
from ssl_patches.data.module import Item, ordered_loader
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.data.wrapped import as_source
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.features.extract import Precision, collect
from ssl_patches.evaluation.probes.finetune import RECIPE, optimizer_of, steps_of
from ssl_patches.evaluation.probes.segmentation import dense_reader, shares_of
from ssl_patches.views.resample import normalised

BATCH = 8
"""Images of a step: maps of whole images take much memory."""
FINE = 8
"""Points per cell and side at which a mask is read."""


class PixelNet(nn.Module):
    """A copy of an encoder with one linear map for every cell of its last feature map.

    Images (B, C, S, S), normalised, to scores (B, classes, h, w). ``side``: S. ``precision``: of
    the encoder; the head is fp32. ValueError for a model that gives no maps.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        classes: int,
        channels: int,
        side: int,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__()
        self.encoder, self.precision = copy.deepcopy(encoder).requires_grad_(True), precision
        with torch.no_grad():
            self.encoder.eval()
            found = self._map(torch.zeros(1, channels, side, side))
        self.grid = (found.shape[2], found.shape[3])
        self.head = nn.Conv2d(found.shape[1], classes, 1)
        nn.init.trunc_normal_(self.head.weight, std=RECIPE["head_std"])
        self.head.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, images: Tensor) -> Tensor:
        """Score every cell of images (B, C, S, S)."""
        return self.head(self._map(images))

    def _map(self, images: Tensor) -> Tensor:
        found = dense_reader(self.encoder, precision=self.precision)(images)
        assert isinstance(found, Tensor)
        return found.float()


class ChosenMasks(Dataset[Item]):
    """Some images of a source with their masks: items (image, mask, place here).

    ``only``: indices into the source (M,).
    """

    def __init__(self, source: Any, only: Tensor) -> None:
        self.source, self.only = WithMasks(source), only.tolist()

    def __len__(self) -> int:
        return len(self.only)

    def __getitem__(self, index: int) -> Item:
        image, mask, _ = self.source[self.only[index]]
        return image, mask, index


def finetune_masks(
    model: nn.Module,
    images: ChosenMasks,
    eval_data: EvalData,
    *,
    epochs: int,
    base_lr: float,
    layer_decay: float,
    progress: Callable[[int], None] | None = None,
) -> PixelNet:
    """Train a copy of ``model`` to score the cells of its map, from images with masks.

    ``base_lr``: as in fine-tuning on labels, whatever the batch, for an image has many cells to
    learn from. ``progress`` is told the images of each step. The
    caller's model and random state stay as they were. ValueError for values out of range, and when
    the loss is not finite.
    """
    recipe, batch_size = RECIPE["optimizer"], min(BATCH, len(images))
    peak = base_lr * RECIPE["batch_size"] / 256
    steps = steps_of(len(images), epochs=epochs, batch_size=batch_size)
    device, classes = torch.device(eval_data.device), len(images.source.classes)
    stream = PatchDataModule(
        train=as_source(images),
        val=None,
        batch_size=batch_size,
        num_workers=eval_data.num_workers,
        seed=RECIPE["seed"],
    )
    centre, scale = _statistics(eval_data)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(RECIPE["seed"])  # head, boxes and dropout
        net = PixelNet(
            model,
            classes=classes,
            channels=len(eval_data.mean),
            side=eval_data.image_size,
            precision=eval_data.precision,
        )
        net = net.to(device).train()
        optimizer = optimizer_of(net.encoder, recipe, lr=peak, layer_decay=layer_decay)
        optimizer.add_param_group({"params": list(net.head.parameters()), "lr_scale": 1.0})
        for step, batch in zip(range(steps), stream.train_dataloader(), strict=False):
            for group in optimizer.param_groups:
                rate = warmup_cosine((step + 1) / steps, recipe["warmup"])
                group["lr"] = peak * rate * group["lr_scale"]
            seen, shares = cut_together(
                normalised(batch.images.to(device), centre, scale),
                batch.labels.to(device),
                side=eval_data.image_size,
                classes=classes,
                grid=net.grid,
            )
            loss = loss_of_shares(net(seen), shares)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), recipe["clip"])
            optimizer.step()
            if (step % 50 == 0 or step == steps - 1) and not torch.isfinite(loss):
                raise ValueError(
                    f"finetune: the loss of step {step + 1} is {loss.item()}; take an earlier"
                    " checkpoint, or precision=fp32"
                )
            if progress is not None:
                progress(len(seen))
    return net.eval()


def cut_together(
    images: Tensor, masks: Tensor, *, side: int, classes: int, grid: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Cut images (B, C, S, S) and masks (B, H, W) to one random box each, flipped by chance.

    Returns images (B, C, side, side) and shares (B, classes, h, w) of the cells of ``grid``. Boxes
    are squares of a share of the area drawn as in fine-tuning on labels.
    """
    count, device = len(images), images.device
    low, high = RECIPE["views"]["scale"]
    size = (low + (high - low) * torch.rand(count, device=device)).sqrt()
    at = (2 * torch.rand(count, 2, device=device) - 1) * (1 - size)[:, None]
    flip = 1 - 2 * (torch.rand(count, device=device) < RECIPE["views"]["flip"]).float()
    box = torch.zeros(count, 2, 3, device=device)
    box[:, 0, 0], box[:, 1, 1], box[:, :, 2] = size * flip, size, at
    places = F.affine_grid(box, [count, 1, side, side], align_corners=False)
    seen = F.grid_sample(images, places, padding_mode="border", align_corners=False)
    fine = [count, 1, grid[0] * FINE, grid[1] * FINE]
    points = F.grid_sample(
        masks[:, None].float(),
        F.affine_grid(box, fine, align_corners=False),
        mode="nearest",
        padding_mode="border",
        align_corners=False,
    )
    return seen, shares_of(points[:, 0].long(), classes=classes, grid=grid)


def loss_of_shares(scores: Tensor, shares: Tensor) -> Tensor:
    """Average the cross-entropy of scores (B, classes, h, w) to shares over labelled pixels."""
    lost = -(shares * scores.log_softmax(1)).sum()
    return lost / shares.sum().clamp(min=1e-6)


def scores_by(net: PixelNet, images: ChosenMasks, eval_data: EvalData) -> tuple[Tensor, Tensor]:
    """Score images with masks: scores (N, classes, h, w) and masks (N, H, W)."""
    loader = ordered_loader(
        as_source(images), batch_size=eval_data.batch_size, num_workers=eval_data.num_workers
    )
    found, masks = collect(
        loader,
        {"net": net},
        mean=eval_data.mean,
        std=eval_data.std,
        device=eval_data.device,
    )
    return found["net"], masks


def _statistics(eval_data: EvalData) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (C, 1, 1) of the images, where they are computed."""

    def of(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=eval_data.device).view(-1, 1, 1)

    return of(eval_data.mean), of(eval_data.std)
