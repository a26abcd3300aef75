"""Permutation tables are bijections, far apart where a group guarantees it, and show every tile
evenly everywhere."""

from __future__ import annotations

import re
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl_patches.tasks.permutations import minimum_distance, permutation_table, slot_counts
from ssl_patches.types import take


def greedy_mean_table(count: int, *, pool: int = 4000, seed: int = 0) -> Tensor:
    """The published selection: from random orders of 9 tiles, again and again the one with the
    largest mean distance."""
    candidates = torch.rand(pool, 9, generator=torch.Generator().manual_seed(seed)).argsort(1)
    total, chosen = torch.zeros(pool), [0]
    for _ in range(count - 1):
        total += (candidates != candidates[chosen[-1]]).sum(1)
        total[chosen[-1]] = -1e9
        chosen.append(int(total.argmax()))
    return candidates[chosen]


def mean_distance(table: Tensor) -> float:
    return float(torch.pdist(table.float(), p=0).mean())


def is_balanced(table: Tensor) -> bool:
    """Each tile is in each slot count / cells times, rounded up or down."""
    counts = slot_counts(table)
    low = len(table) // table.shape[1]
    return bool(((counts == low) | (counts == low + (len(table) % table.shape[1] > 0))).all())


def are_orders(table: Tensor) -> bool:
    """Each row is a bijection, and no row comes twice."""
    bijective = (table.sort(1).values == torch.arange(table.shape[1])).all()
    return bool(bijective) and len(table.unique(dim=0)) == len(table)


@pytest.mark.parametrize(
    ("cells", "count", "distance"),
    [
        *[
            (9, 9, 9),
            (9, 72, 8),
            (9, 73, 7),
            (9, 99, 7),
            (9, 100, 7),
            (9, 504, 7),
            (9, 505, 6),
            (9, 1000, 6),
            (9, 1512, 6),
        ],
        *[(4, 12, 3), (4, 24, 2), (6, 120, 4), (8, 56, 7), (10, 1440, 6), (12, 1320, 10)],
        *[(16, 240, 15), (16, 960, 12), (25, 600, 24), (25, 1200, 20)],
    ],
)
def test_a_group_guarantees_the_distance(cells, count, distance):
    table = permutation_table(cells, count)
    assert table.shape == (count, cells)
    assert table.dtype == torch.int64
    assert are_orders(table)
    assert is_balanced(table)
    assert minimum_distance(table) == distance


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 1512))
def test_any_count_of_9_cells_is_distinct_balanced_and_at_its_distance(count):
    table = permutation_table(9, count)
    assert table.shape == (count, 9)
    assert are_orders(table)
    assert is_balanced(table)
    assert minimum_distance(table) >= (8 if count <= 72 else 7 if count <= 504 else 6)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 30), st.integers(2, 300))
def test_any_grid_gets_distinct_balanced_orders(cells, count):
    count = min(count, [1, 1, 2, 6, 24, 120][cells] if cells < 6 else count)
    table = permutation_table(cells, count)
    assert table.shape == (count, cells)
    assert are_orders(table)
    assert is_balanced(table)


@pytest.mark.parametrize(
    ("cells", "count", "distance"), [(9, 2000, 4), (15, 1000, 10), (36, 1000, 31), (7, 84, 4)]
)
def test_what_no_group_holds_is_searched_and_still_far_apart_and_balanced(cells, count, distance):
    table = permutation_table(cells, count)
    assert are_orders(table)
    assert is_balanced(table)
    assert minimum_distance(table) >= distance


def test_the_published_selection_leaves_pairs_that_differ_in_few_tiles_at_the_same_mean():
    published, table = greedy_mean_table(99), permutation_table(9, 99)
    assert minimum_distance(published) <= 5
    assert minimum_distance(table) == 7
    assert mean_distance(table) == pytest.approx(8 * 99 / 98)  # no set of 99 has a larger one
    assert mean_distance(published) > 8.05


def test_the_balance_check_catches_a_sorted_and_a_random_subset_of_the_same_group():
    group = permutation_table(9, 504)
    in_order = group[sorted(range(504), key=lambda row: group[row].tolist())]
    assert not is_balanced(in_order[:99])
    assert not is_balanced(
        group[torch.randperm(504, generator=torch.Generator().manual_seed(0))[:99]]
    )


def test_all_24_orders_of_4_cells():
    assert set(map(tuple, permutation_table(4, 24).tolist())) == set(permutations(range(4)))


def test_slot_s_shows_source_tile_table_r_s():
    """By content, as ``PatchBatch.select`` gathers it; the other reading (tile t goes to slot
    table[r, t]) differs."""
    table = permutation_table(9, 20)
    tiles = 10 * torch.arange(9).expand(20, 9)
    shuffled = take(tiles, table)
    assert torch.equal(shuffled, 10 * table)
    assert not torch.equal(torch.zeros_like(tiles).scatter(1, table, tiles), shuffled)
    shown = torch.zeros(9, 9, dtype=torch.long)
    for row in shuffled // 10:
        shown[torch.arange(9), row] += 1
    assert torch.equal(slot_counts(table), shown)


def test_the_minimum_distance_is_that_of_the_closest_pair():
    table = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0], [0, 1, 3, 2]])
    assert minimum_distance(table) == 2
    assert minimum_distance(table[:2]) == 4


@pytest.mark.parametrize("count", [100, 1000, 2000])
def test_every_call_gives_the_same_table(count):
    torch.manual_seed(count)
    assert torch.equal(permutation_table(9, count), permutation_table(9, count))


@pytest.mark.parametrize(
    ("cells", "count", "message"),
    [
        (4, 25, "task.permutations=25: must be at most 24 "),
        (1, 100, "task.permutations=100: must be at most 1 "),
        (9, 1, "task.permutations=1: must be at least 2 "),
        (9, 20_000, "task.permutations=20000: must be at most 10000 "),
    ],
)
def test_counts_that_cannot_be_met_are_refused_with_key_and_rule(cells, count, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        permutation_table(cells, count)
