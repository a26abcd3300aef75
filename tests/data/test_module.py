"""The stream of batches is a function of (seed, number of the batch); the ordered pass shows every
image once."""

from __future__ import annotations

from itertools import chain, islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset

from ssl_patches.data.module import EndlessBatches, ordered_loader

quick = settings(deadline=None, max_examples=80)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(
    lambda pair: (max(pair), min(pair))
)  # length, batch


class Numbers(Dataset):
    """Image i is filled with i % 256; ``broken`` ones are replaced by the next, as a folder
    does."""

    reads_apart = False

    def __init__(self, length: int, broken: tuple[int, ...] = ()) -> None:
        self.length, self.broken = length, broken

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        while index in self.broken:
            index = (index + 1) % self.length
        return torch.full((3, 4, 4), index % 256, dtype=torch.uint8), index % 10, index


def stream(count: int, **options: int) -> list[list[int]]:
    return list(islice(EndlessBatches(**options), count))


@given(sizes, st.integers(0, 2**32), st.integers(0, 5))
@quick
def test_each_epoch_covers_every_image_exactly_once(
    size: tuple[int, int], seed: int, epoch: int
) -> None:
    length, batch = size
    count = -(-length * (epoch + 1) // batch)
    flat = [
        index
        for indices in stream(count, length=length, batch_size=batch, seed=seed)
        for index in indices
    ]
    assert sorted(flat[length * epoch : length * (epoch + 1)]) == list(range(length))


@given(sizes, st.integers(0, 100), st.integers(0, 200))
@quick
def test_a_stream_started_at_n_is_the_tail_of_the_unbroken_one(
    size: tuple[int, int], seed: int, start: int
) -> None:
    options = {"length": size[0], "batch_size": size[1], "seed": seed}
    assert stream(4, **options, start=start) == stream(start + 4, **options)[start:]


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 30), st.integers(0, 100))
@quick
def test_ranks_share_out_the_batches_of_one_process(
    batch: int, world: int, spare: int, seed: int
) -> None:
    options = {"length": batch * world + spare, "seed": seed, "start": 2}
    ranks = [
        stream(6, **options, batch_size=batch, world=world, rank=rank) for rank in range(world)
    ]
    together = [[*chain.from_iterable(parts)] for parts in zip(*ranks, strict=True)]
    assert together == stream(6, **options, batch_size=batch * world)


def test_epochs_and_seeds_differ() -> None:
    """(seed 0, epoch 1) and (seed 1, epoch 0) are two orders, as are two epochs of one seed."""
    orders = [
        tuple(batch) for seed in (0, 1) for batch in stream(2, length=30, batch_size=30, seed=seed)
    ]
    assert len(set(orders)) == 4


def test_the_order_is_pinned() -> None:
    """Releases of numpy and torch must not change what a seed means."""
    assert stream(2, length=5, batch_size=5, seed=0) == [[3, 2, 1, 0, 4], [4, 1, 2, 0, 3]]


def test_a_start_far_away_costs_nothing() -> None:
    assert len(next(iter(EndlessBatches(length=1000, batch_size=10, seed=0, start=10**12)))) == 10


@pytest.mark.parametrize("options", [{"batch_size": 51}, {"batch_size": 0}])
def test_a_batch_that_the_images_cannot_fill_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(
        ValueError,
        match=rf"data.batch_size={options['batch_size']}: must be 1 to 50 .*set data.batch",
    ):
        EndlessBatches(length=50, seed=3, **options)


def test_all_ranks_together_must_be_filled() -> None:
    with pytest.raises(
        ValueError, match=r"data.batch_size=30: must be 1 to 25 on each of 2 processes"
    ):
        EndlessBatches(length=50, batch_size=30, seed=0, world=2)


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data.num_workers=-1"):
        ordered_loader(Numbers(9), batch_size=4, num_workers=-1)
    with pytest.raises(ValueError, match="seed=-1"):
        EndlessBatches(length=50, batch_size=8, seed=-1)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_ordered_pass_shows_every_image_once_in_order(workers: int) -> None:
    batches = list(ordered_loader(Numbers(23), batch_size=5, num_workers=workers))
    assert [len(batch.index) for batch in batches] == [5, 5, 5, 5, 3]
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(23))


@given(st.integers(1, 60), st.integers(1, 80))
@quick
def test_a_limit_takes_a_sorted_subset_within_each_larger_one(length: int, limit: int) -> None:
    def chosen(n: int) -> list[int]:
        return torch.cat(
            [b.index for b in ordered_loader(Numbers(length), batch_size=7, num_workers=0, limit=n)]
        ).tolist()

    assert chosen(limit) == sorted(set(chosen(limit)))
    assert len(chosen(limit)) == min(limit, length)
    assert set(chosen(limit)) <= set(chosen(limit + 5))


def test_a_limit_reaches_all_of_a_sorted_source() -> None:
    """The first 100 of 1000 images sorted by class would show one class of ten."""
    index = torch.cat(
        [b.index for b in ordered_loader(Numbers(1000), batch_size=50, num_workers=0, limit=100)]
    )
    assert index.div(100, rounding_mode="floor").bincount(minlength=10).min() >= 3


@given(st.integers(1, 200), st.integers(1, 60))
@quick
def test_dealt_batches_hold_every_image_once_and_each_some_of_all(length: int, size: int) -> None:
    loader = ordered_loader(Numbers(length), batch_size=size, num_workers=0, dealt=True)
    batches = [batch.index for batch in loader]
    assert sorted(torch.cat(batches).tolist()) == list(range(length))
    assert len(batches) == -(-length // size)
    for batch in batches[:-1]:  # no long stretch of the order is missing
        gaps = batch.sort()[0].diff(prepend=torch.tensor([-1]), append=torch.tensor([length]))
        assert gaps.max() <= 2 * len(batches)


def test_replaced_images_are_left_out_of_the_ordered_pass() -> None:
    """Images 3 and 4 are broken: image 5 is shown once, not three times, even where a whole batch
    is broken."""
    batches = list(ordered_loader(Numbers(8, broken=(3, 4)), batch_size=1, num_workers=0))
    assert torch.cat([batch.index for batch in batches]).tolist() == [0, 1, 2, 5, 6, 7]
    assert torch.cat([batch.images for batch in batches]).shape == (6, 3, 4, 4)


@pytest.mark.parametrize(
    ("options", "said"), [({"batch_size": 0}, "batch_size=0"), ({"limit": 0}, "limit=0")]
)
def test_the_ordered_pass_refuses_nonsense(options: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ordered_loader(Numbers(5), **{"batch_size": 2, "num_workers": 0, **options})
