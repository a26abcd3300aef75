"""Lightning gets the endless stream of batches, whoever loads them and wherever it starts."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import Dataset

from ssl_patches.data import order as data_order
from ssl_patches.data.module import EndlessBatches, ordered_loader
from ssl_patches.data.order import ORDER
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.types import ImageBatch


class Numbers(Dataset):
    """Image i is filled with i % 256."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return torch.full((3, 4, 4), index % 256, dtype=torch.uint8), index % 10, index


def stream(count: int, **options: int) -> list[list[int]]:
    return list(islice(EndlessBatches(**options), count))


def module(length: int = 50, **options: int) -> PatchDataModule:
    options = {"batch_size": 8, "num_workers": 0, "seed": 3, **options}
    return PatchDataModule(train=Numbers(length), val=None, **options)


def seen(data: PatchDataModule, count: int) -> list[list[int]]:
    return [batch.index.tolist() for batch in islice(data.train_dataloader(), count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_yields_the_stream_for_any_number_of_workers(workers: int) -> None:
    batches = list(islice(module(num_workers=workers).train_dataloader(), 15))
    assert [batch.index.tolist() for batch in batches] == stream(
        15, length=50, batch_size=8, seed=3
    )
    first = batches[0]
    assert isinstance(first, ImageBatch)
    assert (first.images.shape, first.images.dtype, first.labels.dtype) == (
        (8, 3, 4, 4),
        torch.uint8,
        torch.int64,
    )
    assert torch.equal(first.images[:, 0, 0, 0].long(), first.index)
    assert torch.equal(first.labels, first.index % 10)


def test_a_resumed_run_sees_the_batches_of_the_unbroken_one() -> None:
    resumed = module()
    resumed.start_batch = 9
    assert seen(resumed, 6) == seen(module(), 15)[9:]


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_generator_alone(workers: int) -> None:
    before = torch.get_rng_state()
    next(iter(module(num_workers=workers).train_dataloader()))
    list(ordered_loader(Numbers(9), batch_size=4, num_workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


class Recorder(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []

    def training_step(self, batch: ImageBatch, number: int) -> Tensor:
        self.seen.append(batch.index.tolist())
        return self.weight * batch.images.float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")
def test_lightning_takes_the_endless_stream_as_one_epoch(tmp_path) -> None:
    model = Recorder()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(
        max_steps=20, accelerator="cpu", devices=1, use_distributed_sampler=False, **quiet
    )
    data = module()
    trainer.fit(model, datamodule=data)
    assert model.seen == stream(20, length=50, batch_size=8, seed=3)
    assert trainer.current_epoch <= 1
    trainer.save_checkpoint(tmp_path / "now.ckpt")
    resumed = module()
    resumed.go_on(torch.load(tmp_path / "now.ckpt", weights_only=True), batches=20)
    assert (resumed.order, resumed.start_batch) == (data.order, 20) == (ORDER, 20)


def test_a_run_keeps_the_order_that_it_was_begun_with(monkeypatch) -> None:
    monkeypatch.setattr(data_order, "KEYED_FROM", 50)
    new, before = module(), module()
    before.go_on({"global_step": 9}, batches=9)  # a checkpoint that knows of no rules
    with monkeypatch.context() as then:
        then.setattr(data_order, "KEYED_FROM", 10**9)
        unbroken = seen(module(), 15)
    assert seen(before, 6) == unbroken[9:]
    assert seen(new, 15) != unbroken
    again = module()
    again.go_on({"PatchDataModule": before.state_dict()}, batches=9)
    assert seen(again, 6) == unbroken[9:]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_workers": -1}, "data.num_workers=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"batch_size": 51}, "data.batch_size=51: must be 1 to 50"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_training(
    options: dict[str, int], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        module(**options)
