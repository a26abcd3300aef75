"""Hand labelled images to a network that learns from them, and ask it about others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ssl_patches.data.module import Item, ordered_loader
from ssl_patches.data.order import permutation
from ssl_patches.data.wrapped import as_source
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.features.extract import extract
from ssl_patches.evaluation.labels import Kind, kind_of, labelled, targets


class Labelled(Dataset[Item]):
    """The images of ``source`` that have a label.

    At most ``limit``, the first of a fixed permutation, in their order; or those of ``only``,
    indices into ``source`` (M,) of images with a label.
    An item's index is its place here, or -1 where the source shows another image because it cannot
    read this one: so ``ordered_loader`` leaves it out. ValueError where no image has a label of
    this ``kind``.
    """

    def __init__(
        self,
        source: Any,
        *,
        kind: Kind = "class",
        limit: int | None = None,
        only: Tensor | None = None,
    ) -> None:
        labels = source.labels
        chosen = labelled(labels, kind_of(labels, kind)).nonzero().flatten()
        if only is not None:
            chosen = only
        if not len(chosen):
            raise ValueError(
                "data.root: fine-tuning needs images with labels; name a folder of"
                " DIR/train/CLASS/file and DIR/val/CLASS/file, or DIR/CLASS/file"
            )
        if limit is not None and limit < len(chosen):
            chosen = (
                chosen[torch.from_numpy(permutation(len(chosen), 0, 0)[:limit].copy())]
                .sort()
                .values
            )
        self.source, self.indices, self.labels = source, chosen.tolist(), labels[chosen]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        image, label, shown = self.source[self.indices[index]]
        return image, label, index if shown == self.indices[index] else -1


def predictions_of(
    net: nn.Module, images: Labelled, eval_data: EvalData, *, kind: Kind
) -> tuple[Tensor, Tensor]:
    """Predict classes (N,), scores (N, L) or values (N, D) by a fine-tuned network.

    Returns them and the targets (N, ...) of the images that can be read, in their order.
    """
    predicted, labels = extract(
        net,
        ordered_loader(
            as_source(images), batch_size=eval_data.batch_size, num_workers=eval_data.num_workers
        ),
        mean=eval_data.mean,
        std=eval_data.std,
        device=eval_data.device,
        precision=eval_data.precision,
    )
    return predicted.argmax(1) if kind == "class" else predicted, targets(labels, kind)
