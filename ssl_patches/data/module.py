"""Load batches: an endless stream whose batch number i is a function of (seed, i), and one ordered
pass for evaluation.

The stream is one permutation of the images after the other; batches are cut from it without regard
to where a permutation ends, so all are full and every image is seen equally often. A run resumed
after n batches sets ``start_batch = n`` and sees what the unbroken one would have seen, at no cost:
nothing is read and thrown away. A stateful loader would have to save the state of each worker in
the checkpoint and be resumed with as many workers; here there is no state, so a run goes on exactly
with another number of workers, and from a checkpoint of any step. Which image comes when is said by
``order.py``.

Traps: (a) the stream never ends (see ``training_stream``); (b) a DataLoader draws from torch's
global generator whenever it is iterated, so an evaluation in between would change the training
after it: each loader here has its own; (c) below a joblib launcher only forked workers start (the
other methods need ``Process.env``).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from ssl_patches.data.apart import looked_at
from ssl_patches.data.order import (
    ORDER,
    Order,
    any_order,
    permutation,
)
from ssl_patches.data.source import ImageSource, Item
from ssl_patches.types import ImageBatch


class EndlessBatches(Sampler[list[int]]):
    """Batches of indices without end.

    Batch i of rank r is a function of (length, batch_size, world, seed, i, r). All ranks together
    take ``batch_size * world`` images per batch, rank r the r-th part of them. ``start``: the
    number of the first batch. ``order``: of the images; None: one permutation after the other.
    Raises ``ValueError`` when a batch would need more images than there
    are.
    """

    def __init__(
        self,
        *,
        length: int,
        batch_size: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        order: Order | None = None,
    ) -> None:
        if not 0 < batch_size * world <= length:
            of = f" on each of {world} processes" if world > 1 else ""
            raise ValueError(
                f"data.batch_size={batch_size}: must be 1 to {length // world}{of} ({length} images"
                f" to train on); set data.batch_size={max(1, length // world)} or add images"
            )
        if seed < 0 or start < 0:
            raise ValueError(
                f"seed={seed}, start_batch={start}: must not be negative; set seed=0, start_batch=0"
            )
        self.length, self.batch_size, self.seed, self.start = length, batch_size, seed, start
        self.rank, self.world = rank, world
        self.order = order or any_order(length, seed, ORDER)

    def __iter__(self) -> Iterator[list[int]]:
        together = self.batch_size * self.world
        for position in count(self.start * together + self.rank * self.batch_size, together):
            epoch, offset = divmod(position, self.length)
            batch = self.order.part(epoch, offset, offset + self.batch_size)
            missing = self.batch_size - len(batch)
            if missing:
                batch = np.concatenate([batch, self.order.part(epoch + 1, 0, missing)])
            yield batch.tolist()


def ordered_loader(
    source: ImageSource,
    *,
    batch_size: int,
    num_workers: int,
    limit: int | None = None,
    start: int = 0,
    dealt: bool = False,
) -> DataLoader[ImageBatch]:
    """Return a loader of every image once, in order; the last batch may be smaller.

    ``dealt``: batches of about one size, each with images from all of the order, as cards are
    dealt. For what looks at a batch as a whole: in order, one of a folder of classes is of one
    class.

    ``limit``: at most so many images, the first ones of a fixed permutation, sorted. Being drawn at
    random they hold the classes in about their proportions, and a smaller subset lies within a
    larger one. Images that the source replaced because they cannot be decoded are left out rather
    than counted twice, so ``index`` may have holes. ``start``: leave out so many at the beginning.
    A source that ``reads_apart`` is read by one worker where ``num_workers`` is 0.
    ValueError for ``batch_size`` or ``limit`` below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: must be at least 1; set batch_size=256")
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit}: must be at least 1 image; leave it out to take all")
    check_workers(num_workers)
    chosen = (
        np.arange(len(source)) if limit is None else np.sort(permutation(len(source), 0, 0)[:limit])
    )
    if dealt:
        hands = -(-len(chosen) // batch_size)
        batch_size = -(-len(chosen) // hands)
        chosen = np.concatenate([chosen[hand::hands] for hand in range(hands)])
    return loader(
        _Asked(source, chosen[start:]),
        batch_size=batch_size,
        num_workers=num_workers or int(getattr(source, "reads_apart", True)),
        collate_fn=collate_asked,
    )


def ordered_items(dataset: Dataset[Any], *, num_workers: int) -> Iterator[Any]:
    """Yield the items of any dataset in order, made by worker processes, a few at a time."""
    check_workers(num_workers)
    return chain.from_iterable(
        loader(dataset, batch_size=8, num_workers=num_workers, collate_fn=list)
    )


def items_of(source: ImageSource, indices: Iterable[int]) -> list[Item]:
    """Return some items; a Dataset that workers shall get as it was given is not opened here."""
    chosen = list(indices)
    if getattr(source, "reads_apart", True):
        return looked_at(source, lambda found: [found[index] for index in chosen])
    return [source[index] for index in chosen]


class _Asked(Dataset[tuple[int, Item]]):
    """Items together with the index that was asked for, which differs from the item's where it is a
    replacement."""

    def __init__(self, source: ImageSource, chosen: NDArray[np.int64]) -> None:
        self.source, self.chosen = source, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, position: int) -> tuple[int, Item]:
        index = int(self.chosen[position])
        return index, self.source[index]


def collate(items: list[Item] | ImageBatch) -> ImageBatch:
    """Make a batch of items; images that lie channels-last in memory do so in the batch too.

    Items are (uint8 (C, H, W), label, index); a batch that a source made itself is returned as it
    is.
    """
    if isinstance(items, ImageBatch):
        return items
    last = all(image.dim() == 3 and image.permute(1, 2, 0).is_contiguous() for image, _, _ in items)
    batch = ImageBatch(
        *default_collate(
            [(image.permute(1, 2, 0), *rest) for image, *rest in items] if last else items
        )
    )
    return batch._replace(images=batch.images.permute(0, 3, 1, 2)) if last else batch


def collate_asked(pairs: list[tuple[int, Item]]) -> ImageBatch:
    """Make a batch of (index asked for, item), without the items that show another image."""
    batch = collate([item for _, item in pairs])
    own = batch.index == torch.tensor([index for index, _ in pairs])
    return batch if own.all() else ImageBatch(*(part[own] for part in batch))


def one_thread(worker: int) -> None:
    """Set up a worker process: one of many, whose own threads would only fight over the cores.

    Ctrl-C reaches the whole process group and is the main process's to answer: it still needs
    batches to end its step.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def loader(dataset: Dataset[Any], *, num_workers: int, **options: Any) -> DataLoader[ImageBatch]:
    """Make a loader whose workers have one thread each and whose draws are its own.

    ``options``: as torch's DataLoader takes them.
    """
    return DataLoader(
        dataset,
        num_workers=num_workers,
        worker_init_fn=one_thread,
        multiprocessing_context="fork" if num_workers and sys.platform == "linux" else None,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(0),  # workers draw nothing from it; see trap (b)
        **options,
    )


def check_workers(num_workers: int) -> None:
    """Raise ValueError for a negative number of processes that decode images."""
    if num_workers < 0:
        raise ValueError(
            f"data.num_workers={num_workers}: must be 0 (load in the main process) or more; set 2"
        )
