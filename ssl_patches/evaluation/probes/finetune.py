"""Fine-tune the whole encoder, and the same recipe from random weights beside it.

How much of the metric is pretraining and how much the recipe is only seen when both models get the
same one: the same images in the same batches under the same crops, the same steps, learning rates
and head. AdamW, linear warm-up and half cosine, learning rates that shrink towards the input by
``layer_decay`` per block (Bao et al. 2022, BEiT; timm's ``param_groups_layer_decay``), as in MAE's
fine-tuning (He et al. 2022, Table 9) without mixing of images, which small encoders do not want
(Wang et al. 2023, arXiv:2205.14443). The test images are seen once, after the last step. The loss
is cross-entropy of classes, binary cross-entropy of yes/no labels, the squared error of values in
their own deviations.

The traps: (a) best-of-epochs on test, which most published small-scale results are, adds points
that nobody else gets; (b) layer decay holds the first layers back, which suits pretrained ones and
costs random ones: ``layer_decay=1`` for both shows how much; (c) a frozen parameter (a position
table) in one of the two would be another recipe, so all are trained.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn

from ssl_patches.config.schedule import warmup_cosine
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.evaluation.features.extract import Precision
from ssl_patches.evaluation.labels import Kind, check_targets, labelled, targets
from ssl_patches.evaluation.metrics import rows_of
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.labelled_images import Labelled, predictions_of
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import RANDOM_INIT, Row
from ssl_patches.views import CropFlip
from ssl_patches.views.resample import normalised

RECIPE = PROTOCOL["finetune"]


def finetune(
    model: nn.Module,
    source: Any,
    *,
    count: int,
    kind: Kind = "class",
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    epochs: int = RECIPE["epochs"],
    layer_decay: float = RECIPE["layer_decay"],
    base_lr: float = RECIPE["optimizer"]["base_lr"],
    num_workers: int = 0,
    device: str = "cpu",
    precision: Precision = "fp32",
    progress: Callable[[int], None] | None = None,
) -> nn.Module:
    """Train a copy of ``model`` to give logits, or values (B, count), of normalised (B, C, H, W).

    ``model``: a timm model without head. ``count``: classes, yes/no labels or values per image.
    ``source``: labelled images of any square size; views are cut at ``image_size``. ``progress`` is
    told the number of images of each step. ``base_lr``: per 256 images of a batch. The caller's
    model and random state stay as they were.
    ValueError for values out of range, and when the loss is not finite.
    """
    recipe, batch_size = RECIPE["optimizer"], min(RECIPE["batch_size"], len(source))
    peak = base_lr * batch_size / 256
    steps = steps_of(len(source), epochs=epochs, batch_size=batch_size)
    stream = PatchDataModule(
        train=source, val=None, batch_size=batch_size, num_workers=num_workers, seed=RECIPE["seed"]
    )
    centre, scale = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (mean, std))
    views = CropFlip(image_size=image_size, **RECIPE["views"])
    devices = [torch.device(device)] if str(device).startswith("cuda") else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(RECIPE["seed"])  # head, crops and dropout
        net = classifier(model, count=count).to(device).train()
        unit = TargetScaler.of(source.labels if kind == "value" else None, device)
        optimizer = optimizer_of(net, recipe, lr=peak, layer_decay=layer_decay)
        for step, batch in zip(range(steps), stream.train_dataloader(), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = (
                    peak * warmup_cosine((step + 1) / steps, recipe["warmup"]) * group["lr_scale"]
                )
            images = normalised(views(batch.images.to(device, non_blocking=True)), centre, scale)
            labels = unit.inside(batch.labels.to(device))
            loss = _step(
                net, images, labels, optimizer, kind=kind, clip=recipe["clip"], precision=precision
            )
            if step % 50 == 0 or step == steps - 1:  # seldom: each look waits for the device
                _check_finite(loss, step)
            if progress is not None:
                progress(len(images))
    unit.leave(net.get_classifier())
    return net.eval()


@dataclass(frozen=True)
class TargetScaler:
    """Scales values to mean 0 and deviation 1 for training, and the trained head back.

    ``scale``: mean and deviation (D,) each; None: targets stay as they are, as classes do.
    """

    scale: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, values: Tensor | None, device: str) -> TargetScaler:
        """Measure values (N,) or (N, D); None: nothing is scaled."""
        if values is None:
            return cls()
        values = values.float().view(len(values), -1).to(device)
        return cls((values.mean(0), values.std(0, correction=0).clamp(min=1e-12)))

    def inside(self, labels: Tensor) -> Tensor:
        """Scale the labels (B, ...) of a batch."""
        if self.scale is None:
            return labels
        mean, deviation = self.scale
        return (labels.float().view(len(labels), -1) - mean) / deviation

    @torch.no_grad()
    def leave(self, head: nn.Linear) -> None:
        """Change a trained head so that it gives values in their own unit."""
        if self.scale is not None:
            mean, deviation = self.scale
            head.weight.mul_(deviation[:, None])
            head.bias.mul_(deviation).add_(mean)


def classifier(model: nn.Module, *, count: int) -> Any:
    """Copy a timm model with a new head, almost zero, and every parameter trainable."""
    net: Any = copy.deepcopy(model)
    net.reset_classifier(count)
    head = net.get_classifier()
    nn.init.trunc_normal_(head.weight, std=RECIPE["head_std"])
    nn.init.zeros_(head.bias)
    return net.requires_grad_(True)


def optimizer_of(
    net: Any, recipe: Mapping[str, Any], *, lr: float, layer_decay: float
) -> torch.optim.AdamW:
    """Make AdamW over timm's groups; each has ``lr_scale`` = layer_decay ** (layers to the head).

    ValueError for a layer decay beyond 0..1.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(
            f"layer_decay={layer_decay}: must be above 0 and at most 1 (1: none); set"
            " layer_decay=0.75"
        )
    spared = net.no_weight_decay() if hasattr(net, "no_weight_decay") else ()
    groups = param_groups_layer_decay(
        net,
        weight_decay=recipe["weight_decay"],
        no_weight_decay_list=spared,
        layer_decay=layer_decay,
    )
    return torch.optim.AdamW(groups, lr=lr, betas=tuple(recipe["betas"]))


def steps_of(images: int, *, epochs: int, batch_size: int) -> int:
    """Count the steps of ``epochs`` passes, rounded up. ValueError for fewer than one."""
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: must be at least 1; set epochs={RECIPE['epochs']}")
    return math.ceil(epochs * images / batch_size)


class Finetune(Probe):
    """The whole encoder trained on; of random weights, the same recipe from scratch."""

    cuts = True

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``finetune_top1`` (or ``_map``, or ``_r2`` and ``_mae``).

        Those of "random_init" are called ``scratch_...``. Without a limit 2000 train images are
        learned from. ValueError where labels are missing or there is nothing to tell apart.
        """
        eval_data, kind = inputs.images(), inputs.kind
        train = Labelled(
            eval_data.large[0] if eval_data.large else eval_data.train,
            kind=kind,
            limit=eval_data.limit_train or RECIPE["train_images"],
        )
        test = Labelled(eval_data.test, kind=kind, limit=eval_data.limit_test)
        learned, held_out = (targets(split.labels, kind) for split in (train, test))
        check_targets(learned, held_out, kind)
        count = (
            int(torch.cat([learned, held_out]).max()) + 1 if kind == "class" else learned.shape[1]
        )
        net = finetune(
            inputs.network(),
            train,
            count=count,
            kind=kind,
            epochs=RECIPE["epochs"],
            layer_decay=RECIPE["layer_decay"],
            image_size=eval_data.image_size,
            mean=eval_data.mean,
            std=eval_data.std,
            num_workers=eval_data.num_workers,
            device=eval_data.device,
            precision=eval_data.precision,
        )
        predicted, found = predictions_of(net, test, eval_data, kind=kind)
        return rows_of(
            predicted,
            found,
            kind=kind,
            name="scratch" if inputs.model == RANDOM_INIT else "finetune",
            model=inputs.model,
            data=inputs.data,
        )


def _step(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    *,
    kind: Kind,
    clip: float,
    precision: Precision,
) -> Tensor:
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        predictions = net(images)
    loss = loss_of(predictions.float(), labels, kind)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return loss.detach()


def loss_of(predictions: Tensor, labels: Tensor, kind: Kind) -> Tensor:
    """Average the loss of predictions (B, count) over the images that have a label (B, ...).

    One without stands in for an image that cannot be read.
    """
    if kind == "class":
        return F.cross_entropy(
            predictions, labels, ignore_index=-1, label_smoothing=RECIPE["label_smoothing"]
        )
    given = labelled(labels, kind)
    predictions, labels = predictions[given], labels[given].float()
    return (
        F.mse_loss(predictions, labels)
        if kind == "value"
        else F.binary_cross_entropy_with_logits(predictions, labels)
    )


def _check_finite(loss: Tensor, step: int) -> None:
    if not torch.isfinite(loss):
        raise ValueError(
            f"finetune: the loss of step {step + 1} is {loss.item()}; take an earlier checkpoint,"
            " or precision=fp32"
        )
