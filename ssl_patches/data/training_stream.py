"""Give the endless stream of batches to Lightning; apart, because Lightning takes seconds to load.

Traps: (a) Lightning replaces samplers under DDP by its own: build the Trainer with
``use_distributed_sampler=False``, the ranks are told apart here; (b) the stream never ends, so a
run is one Lightning epoch: bound it by steps, for with ``limit_train_batches`` each epoch would
start the stream anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from ssl_patches.data.module import EndlessBatches, check_workers, collate, loader
from ssl_patches.data.order import ORDER, order_of
from ssl_patches.data.source import ImageSource
from ssl_patches.data.wrapped import as_source
from ssl_patches.types import ImageBatch


class PatchDataModule(LightningDataModule):
    """The training stream of built sources, for Lightning.

    ``batch_size`` is per process, in images; ``train`` and ``val`` stay attributes. ``val`` is read
    by callbacks and probes through ``ordered_loader``; training does not look at it. ``go_on``
    before ``fit`` continues a run. ``order``: the rule of the order, see ``order.ORDER``.
    """

    def __init__(
        self,
        *,
        train: ImageSource,
        val: ImageSource | None,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        # refuses what cannot be drawn, now
        EndlessBatches(length=len(train), batch_size=batch_size, seed=seed)
        check_workers(num_workers)
        self.train, self.val = as_source(train), None if val is None else as_source(val)
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.start_batch, self.order = 0, ORDER

    def go_on(self, checkpoint: Mapping[str, Any], *, batches: int) -> None:
        """Continue the run of a checkpoint after so many batches, in the order that it had."""
        self.start_batch = batches
        self.order = checkpoint.get(type(self).__qualname__, {}).get("order", 1)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of this, under the name of the class."""
        return {"order": self.order}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing: ``go_on`` took it over."""

    def store(self) -> None:
        """Fill the caches of decoded images where there are (``data.cache``).

        To be called before ``fit``, in each process.
        """
        for source in (self.train, self.val):
            if source is not None:
                source.fill_cache(num_workers=self.num_workers)

    def train_dataloader(self) -> DataLoader[ImageBatch]:
        """Return the loader of the stream from ``start_batch`` on, of this process's share."""
        batches = EndlessBatches(
            length=len(self.train),
            batch_size=self.batch_size,
            seed=self.seed,
            start=self.start_batch,
            rank=self.trainer.global_rank if self.trainer else 0,
            world=self.trainer.world_size if self.trainer else 1,
            order=order_of(self.train, self.seed, rule=self.order),
        )
        return loader(
            self.train,
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=collate,
            persistent_workers=self.num_workers > 0,
        )
