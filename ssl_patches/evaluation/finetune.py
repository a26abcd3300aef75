"""Fine-tuning the whole encoder, and the same recipe from random weights beside it.

How much of the figure is pretraining and how much the recipe is only seen when both models get the same one: the same
images in the same batches under the same crops, the same steps, learning rates and head. AdamW, linear warm-up and
half cosine, learning rates that shrink towards the input by ``layer_decay`` per block (Bao et al. 2022, BEiT;
timm's ``param_groups_layer_decay``), as in MAE's fine-tuning (He et al. 2022, Table 9) without mixing of images, which
small encoders do not want (Wang et al. 2023, arXiv:2205.14443). The test images are seen once, after the last step.

The traps: (a) best-of-epochs on test, which most published small-scale figures are, adds points that nobody else gets;
(b) layer decay holds the first layers back, which suits pretrained ones and costs random ones: ``layer_decay=1`` for both
shows how much; (c) a frozen parameter (a position table) in one of the two would be another recipe, so all are trained.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from ssl_patches.data.module import Item, PatchDataModule, ordered_loader, permutation
from ssl_patches.evaluation.features import Precision, extract
from ssl_patches.evaluation.intervals import Row, accuracy_row
from ssl_patches.optim import AdamW
from ssl_patches.views import CropFlip

PROTOCOL: dict[str, Any] = {
    "version": 1,
    "epochs": 10,
    "batch_size": 64,
    "optimizer": {"base_lr": 2e-3, "weight_decay": 0.05, "betas": [0.9, 0.999], "warmup": 0.1, "clip": 1.0},
    "layer_decay": 0.75,
    "label_smoothing": 0.1,
    "views": {"scale": [0.35, 1.0], "flip": 0.5},
    "head": {"std": 2e-5},
    "seed": 0,
    "interval": {"kind": "wilson", "level": 0.95},
}


def finetune(
    model: nn.Module,
    source: Dataset[Item],
    *,
    classes: int,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    epochs: int = PROTOCOL["epochs"],
    layer_decay: float = PROTOCOL["layer_decay"],
    num_workers: int = 0,
    device: str = "cpu",
    precision: Precision = "fp32",
    progress: Callable[[int], None] | None = None,
) -> nn.Module:
    """A trained copy of ``model`` (a timm model without head) as a classifier: normalised (B, C, H, W) -> (B, classes).

    ``source``: labelled images of any square size; views are cut at ``image_size``. ``progress`` is told the number of
    images of each step. The caller's model and random state stay as they were. ValueError for values out of range, and
    when the loss is not finite.
    """
    recipe, batch_size = AdamW(**PROTOCOL["optimizer"]), min(PROTOCOL["batch_size"], len(source))
    steps = steps_of(len(source), epochs=epochs, batch_size=batch_size)
    stream = PatchDataModule(train=source, val=None, batch_size=batch_size, num_workers=num_workers, seed=PROTOCOL["seed"])
    centre, scale = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (mean, std))
    views = CropFlip(image_size=image_size, **PROTOCOL["views"])
    devices = [torch.device(device)] if str(device).startswith("cuda") else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(PROTOCOL["seed"])  # head, crops and dropout
        net = classifier(model, classes=classes).to(device).train()
        optimizer = optimizer_of(net, recipe, batch_size=batch_size, layer_decay=layer_decay)
        for step, batch in zip(range(steps), stream.train_dataloader(), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = recipe.peak(batch_size) * recipe.factor((step + 1) / steps) * group["lr_scale"]
            images = (views(batch.images.to(device, non_blocking=True)) - centre) / scale
            loss = _step(net, images, batch.labels.to(device), optimizer, clip=recipe.clip, precision=precision)
            if step % 50 == 0 or step == steps - 1:  # seldom: each look waits for the device
                _check_finite(loss, step)
            if progress is not None:
                progress(len(images))
    return net.eval()


def classifier(model: nn.Module, *, classes: int) -> nn.Module:
    """A copy of ``model`` with a new head, almost zero, and every parameter trainable."""
    net = copy.deepcopy(model)
    net.reset_classifier(classes)
    head = net.get_classifier()
    nn.init.trunc_normal_(head.weight, std=PROTOCOL["head"]["std"])
    nn.init.zeros_(head.bias)
    return net.requires_grad_(True)


def optimizer_of(net: nn.Module, recipe: AdamW, *, batch_size: int, layer_decay: float) -> torch.optim.AdamW:
    """AdamW over timm's groups: each has ``lr_scale`` = layer_decay ** (layers between it and the head)."""
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay={layer_decay}: must be above 0 and at most 1 (1: none); set layer_decay=0.75")
    spared = net.no_weight_decay() if hasattr(net, "no_weight_decay") else ()
    groups = param_groups_layer_decay(net, weight_decay=recipe.weight_decay, no_weight_decay_list=spared, layer_decay=layer_decay)
    return torch.optim.AdamW(groups, lr=recipe.peak(batch_size), betas=recipe.betas)


def steps_of(images: int, *, epochs: int, batch_size: int) -> int:
    """Steps of ``epochs`` passes, rounded up."""
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: must be at least 1; set epochs={PROTOCOL['epochs']}")
    return math.ceil(epochs * images / batch_size)


def labelled(source: Dataset[Item], *, limit: int | None = None) -> Subset[Item]:
    """The images of ``source`` that have a class; at most ``limit``, the first of a fixed permutation, in their order."""
    labels = source.labels
    if labels.dim() != 1 or not (labels >= 0).any():
        raise ValueError("data.root: fine-tuning needs images with one class each; name a folder of DIR/train/CLASS/file and "
                         "DIR/val/CLASS/file, or DIR/CLASS/file")  # fmt: skip
    chosen = (labels >= 0).nonzero().flatten()
    if limit is not None and limit < len(chosen):
        order = torch.from_numpy(permutation(len(chosen), 0, 0)[:limit].copy())
        chosen = chosen[order].sort().values
    return Subset(source, chosen.tolist())


def evaluate_finetune(
    *,
    encoder: nn.Module,
    scratch: nn.Module | None,
    train_source: Dataset[Item],
    test_source: Dataset[Item],
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    num_workers: int = 0,
    data_name: str = "data",
    limit_train: int | None = None,
    limit_test: int | None = None,
    epochs: int = PROTOCOL["epochs"],
    layer_decay: float = PROTOCOL["layer_decay"],
    device: str = "cpu",
    precision: Precision = "fp32",
    progress: Callable[[int], None] | None = None,
) -> list[Row]:
    """Rows ``finetune_top1`` of "trained" and ``scratch_top1`` of "random_init", by one recipe.

    ``encoder``, ``scratch``: plain timm models of one architecture, in their exported state; None leaves the second out.
    ``train_source`` may load larger than ``image_size`` (crops then have real pixels), ``test_source`` at it. ValueError
    where labels are missing, train shows one class only, or the two models are not of one shape.
    """
    train, test = labelled(train_source, limit=limit_train), labelled(test_source, limit=limit_test)
    train_y, test_y = (part.dataset.labels[torch.tensor(part.indices)] for part in (train, test))
    if len(train_y.unique()) < 2:
        raise ValueError(f"data.root: the {len(train_y)} labelled train images show one class only; at least 2 are needed, raise "
                         "limit_train or name data with more classes")  # fmt: skip
    if scratch is not None and _shapes(encoder) != _shapes(scratch):
        raise ValueError("scratch: has other parameters than the encoder, so figures would compare architectures; give the "
                         "same architecture with random weights")  # fmt: skip
    classes, rows = int(max(train_y.max(), test_y.max())) + 1, []
    for name, metric, model in (("trained", "finetune_top1", encoder), ("random_init", "scratch_top1", scratch)):
        if model is None:
            continue
        common = {"mean": mean, "std": std, "device": device, "precision": precision, "progress": progress}
        options = {"image_size": image_size, "epochs": epochs, "layer_decay": layer_decay, "num_workers": num_workers}
        net = finetune(model, train, classes=classes, **options, **common)
        logits, wanted = extract(net, ordered_loader(test, batch_size=256, num_workers=num_workers), **common)
        rows.append(accuracy_row(logits.argmax(1), wanted, model=name, data=data_name, metric=metric))
    return rows


def _step(
    net: nn.Module, images: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer, *, clip: float, precision: Precision
) -> Tensor:
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits = net(images)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=PROTOCOL["label_smoothing"])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return loss.detach()


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def _check_finite(loss: Tensor, step: int) -> None:
    if not torch.isfinite(loss):
        raise ValueError(f"finetune: the loss of step {step + 1} is {loss.item()}; take an earlier checkpoint, or precision=fp32")
