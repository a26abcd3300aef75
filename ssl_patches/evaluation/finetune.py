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

import torch
import torch.nn.functional as F
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.utils.data import Dataset

from ssl_patches.data.module import Item, PatchDataModule, ordered_loader, permutation
from ssl_patches.evaluation.features import Precision, extract
from ssl_patches.evaluation.intervals import Row, accuracy_row
from ssl_patches.evaluation.labels import check_targets
from ssl_patches.evaluation.probes import Bench
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.optim import AdamW
from ssl_patches.views import CropFlip

RECIPE = PROTOCOL["finetune"]


def finetune(
    model: nn.Module,
    source: Dataset[Item],
    *,
    classes: int,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    epochs: int = RECIPE["epochs"],
    layer_decay: float = RECIPE["layer_decay"],
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
    recipe, batch_size = AdamW(**RECIPE["optimizer"]), min(RECIPE["batch_size"], len(source))
    steps = steps_of(len(source), epochs=epochs, batch_size=batch_size)
    stream = PatchDataModule(train=source, val=None, batch_size=batch_size, num_workers=num_workers, seed=RECIPE["seed"])
    centre, scale = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (mean, std))
    views = CropFlip(image_size=image_size, **RECIPE["views"])
    devices = [torch.device(device)] if str(device).startswith("cuda") else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(RECIPE["seed"])  # head, crops and dropout
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
    nn.init.trunc_normal_(head.weight, std=RECIPE["head_std"])
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
        raise ValueError(f"epochs={epochs}: must be at least 1; set epochs={RECIPE['epochs']}")
    return math.ceil(epochs * images / batch_size)


class Labelled(Dataset[Item]):
    """The images of ``source`` that have a class; at most ``limit``, the first of a fixed permutation, in their order.

    An item's index is its place here, or -1 where the source shows another image because it cannot read this one: so
    ``ordered_loader`` leaves it out. ValueError where no image has a class.
    """

    def __init__(self, source: Dataset[Item], *, limit: int | None = None) -> None:
        labels = source.labels
        if labels.dim() != 1 or labels.is_floating_point() or not (labels >= 0).any():
            raise ValueError("data.root: fine-tuning needs images with one class each; name a folder of DIR/train/CLASS/file and "
                             "DIR/val/CLASS/file, or DIR/CLASS/file")  # fmt: skip
        chosen = (labels >= 0).nonzero().flatten()
        if limit is not None and limit < len(chosen):
            chosen = chosen[torch.from_numpy(permutation(len(chosen), 0, 0)[:limit].copy())].sort().values
        self.source, self.indices, self.labels = source, chosen.tolist(), labels[chosen]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        image, label, shown = self.source[self.indices[index]]
        return image, label, index if shown == self.indices[index] else -1


def evaluate_finetune(encoder: nn.Module, bench: Bench, *, model: str, data: str) -> list[Row]:
    """Row ``finetune_top1`` of a timm model, or ``scratch_top1`` of "random_init", by one recipe.

    Without a limit 2000 train images are learned from. ValueError where labels are missing or train shows one class only.
    """
    train = Labelled((bench.large or (bench.train,))[0], limit=bench.limit_train or RECIPE["train_images"])
    test = Labelled(bench.test, limit=bench.limit_test)
    check_targets(train.labels, test.labels, "class")
    classes = int(torch.cat([train.labels, test.labels]).max()) + 1
    common = {"mean": bench.mean, "std": bench.std, "device": bench.device, "precision": bench.precision}
    options = {"image_size": bench.image_size, "num_workers": bench.num_workers}
    recipe = {"epochs": RECIPE["epochs"], "layer_decay": RECIPE["layer_decay"]}
    net = finetune(encoder, train, classes=classes, **options, **recipe, **common)
    loader = ordered_loader(test, batch_size=bench.batch_size, num_workers=bench.num_workers)
    logits, wanted = extract(net, loader, **common)
    metric = "scratch_top1" if model == "random_init" else "finetune_top1"
    return [accuracy_row(logits.argmax(1), wanted, model=model, data=data, metric=metric)]


def _step(
    net: nn.Module, images: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer, *, clip: float, precision: Precision
) -> Tensor:
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits = net(images)
    # -1: an unlabelled image that stands in for one that cannot be read
    loss = F.cross_entropy(logits.float(), labels, ignore_index=-1, label_smoothing=RECIPE["label_smoothing"])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return loss.detach()


def _check_finite(loss: Tensor, step: int) -> None:
    if not torch.isfinite(loss):
        raise ValueError(f"finetune: the loss of step {step + 1} is {loss.item()}; take an earlier checkpoint, or precision=fp32")
