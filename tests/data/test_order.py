"""An order is a permutation of which any part can be asked for; older runs keep theirs."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset

from ssl_patches.data.order import KEYED_FROM, TOGETHER, KeyedOrder, order_of
from ssl_patches.data.wrapped import as_source


class Numbers(Dataset):
    """So many images, none of which is read."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return torch.zeros(3, 4, 4, dtype=torch.uint8), 0, index


@given(st.integers(1, 3 * TOGETHER), st.data())
@settings(max_examples=15, deadline=None)
def test_any_part_of_a_keyed_order_is_that_of_all(length: int, data) -> None:
    order = KeyedOrder(length, 5)
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, length + 9)] * 2)))
    whole = order.part(1, 0, length)
    assert sorted(whole.tolist()) == list(range(length))
    assert order.part(1, begin, end).tolist() == whole[begin:end].tolist()


def test_few_images_keep_their_order_and_many_do_in_a_run_of_before() -> None:
    few, many = (as_source(Numbers(count)) for count in (KEYED_FROM - 1, KEYED_FROM))
    parts = {
        (source, rule): order_of(source, 0, rule=rule).part(0, 0, 20).tolist()
        for source in (few, many)
        for rule in (1, 2)
    }
    assert parts[few, 1] == parts[few, 2]
    assert parts[many, 1] != parts[many, 2]
    assert order_of(many, 0).part(0, 0, 20).tolist() == parts[many, 2]
