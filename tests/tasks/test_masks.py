"""Masks are exact partitions, even over the grid, and as clustered as they claim."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl_patches.tasks.masks import keep_count, visible_cells

KINDS = ["random", "block", "inverse_block"]


def draw(
    rows: int, cols: int, *, keep: int, kind: str, batch: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return visible_cells(
        rows, cols, batch=batch, keep=keep, kind=kind, device="cpu", generator=generator
    )


def as_mask(cells: Tensor, rows: int, cols: int) -> Tensor:
    """(B, M) cells -> (B, rows, cols) bool."""
    return (
        torch.zeros(len(cells), rows * cols, dtype=torch.bool)
        .scatter(1, cells, True)
        .view(-1, rows, cols)
    )


def unevenness(mask: Tensor) -> float:
    """Largest |z| over cells of the hit counts of ``mask`` (B, rows, cols), under one common rate
    for all cells."""
    rate, hits = mask.double().mean(), mask.double().sum(0)
    return float(((hits - len(mask) * rate) / (len(mask) * rate * (1 - rate)).sqrt()).abs().max())


def neighbours(mask: Tensor) -> float:
    """Mean number per image of adjacent pairs of cells that are both in ``mask`` (B, rows,
    cols)."""
    pairs = (mask[:, 1:] & mask[:, :-1]).sum() + (mask[:, :, 1:] & mask[:, :, :-1]).sum()
    return float(pairs) / len(mask)


def circular_extent(used: Tensor) -> Tensor:
    """(B, n) bool on a circle -> (B,) length of the shortest arc that holds all used places."""
    n = used.shape[1]
    rolled = torch.stack(
        [used.roll(shift, 1) for shift in range(n)]
    )  # an arc starting at 0 for some shift
    return ((torch.arange(n) + 1) * rolled).amax(2).amin(0)


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9)).filter(
    lambda shape: shape[0] * shape[1] > 1
)


@settings(deadline=None, max_examples=60)
@given(shapes, st.sampled_from(KINDS), st.integers(1, 5), st.data())
def test_visible_and_hidden_partition_the_grid_in_exact_numbers_and_ascending(
    shape, kind, batch, data
):
    rows, cols = shape
    keep = data.draw(st.integers(1, rows * cols - 1))
    visible, hidden = draw(
        rows, cols, keep=keep, kind=kind, batch=batch, seed=data.draw(st.integers(0, 99))
    )
    assert visible.shape == (batch, keep)
    assert visible.dtype == hidden.dtype == torch.int64
    assert (torch.cat([visible, hidden], 1).sort(1).values == torch.arange(rows * cols)).all()
    assert (visible.diff(dim=1) > 0).all()
    assert (hidden.diff(dim=1) > 0).all()


def ijepa_target_blocks(rows: int, cols: int, *, batch: int, fixed: bool) -> Tensor:
    """I-JEPA's block placement as published: the last offset is never drawn. ``fixed`` draws it."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(batch, rows, cols, dtype=torch.bool)
    for image in mask:
        first, second = torch.rand(2, generator=generator).tolist()
        scale, aspect = 0.15 + 0.05 * first, 0.75 + 0.75 * second
        height = min(round(math.sqrt(rows * cols * scale * aspect)), rows - 1)
        width = min(round(math.sqrt(rows * cols * scale / aspect)), cols - 1)
        top = int(torch.randint(0, rows - height + fixed, (), generator=generator))
        left = int(torch.randint(0, cols - width + fixed, (), generator=generator))
        image[top : top + height, left : left + width] = True
    return mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rows", "cols", "keep"), [(14, 14, 49), (14, 14, 137), (8, 8, 16), (3, 3, 4), (2, 5, 7)]
)
def test_every_cell_is_covered_as_often_as_any_other(rows, cols, keep, kind):
    visible, _ = draw(rows, cols, keep=keep, kind=kind, batch=20_000)
    assert unevenness(as_mask(visible, rows, cols)) < 4.5


@pytest.mark.parametrize("fixed", [False, True])
def test_the_coverage_check_catches_blocks_inside_borders_and_the_published_sampler(fixed):
    mask = ijepa_target_blocks(8, 8, batch=2000, fixed=fixed)
    assert unevenness(mask) > 10
    assert bool(mask[:, -1].any() or mask[:, :, -1].any()) is fixed


def test_the_coverage_check_catches_truncation_in_raster_order():
    visible, hidden = draw(8, 8, keep=24, kind="inverse_block", batch=20_000)
    assert unevenness(as_mask(visible, 8, 8)) < 4.5
    assert unevenness(as_mask(visible[:, :16], 8, 8)) > 10
    assert unevenness(as_mask(hidden[:, :30], 8, 8)) > 10


def test_blocks_are_clustered_and_random_masks_are_not():
    """Expected pairs of a random mask: pairs of the grid x the chance that both ends are in the
    mask."""
    rows = cols = 14
    expected = 2 * rows * (cols - 1) * 49 * 48 / (196 * 195)
    drawn = {
        "random": draw(rows, cols, keep=49, kind="random", batch=2000)[0],
        "block": draw(rows, cols, keep=147, kind="block", batch=2000)[1],  # what it hides
        "inverse_block": draw(rows, cols, keep=49, kind="inverse_block", batch=2000)[
            0
        ],  # what it shows
    }
    pairs = {kind: neighbours(as_mask(cells, rows, cols)) for kind, cells in drawn.items()}
    assert pairs["random"] == pytest.approx(expected, rel=0.02)
    assert min(pairs["block"], pairs["inverse_block"]) > 3 * expected


@pytest.mark.parametrize(("kind", "keep", "part"), [("inverse_block", 40, 0), ("block", 156, 1)])
def test_a_block_fills_its_rectangle_but_for_one_side_and_varies_in_shape(kind, keep, part):
    mask = as_mask(draw(14, 14, keep=keep, kind=kind, batch=2000)[part], 14, 14)
    height, width = circular_extent(mask.any(2)), circular_extent(mask.any(1))
    missing = height * width - 40
    assert (missing < torch.maximum(height, width)).double().mean() > 0.97
    aspect = height / width
    assert aspect.quantile(0.1) < 0.9
    assert aspect.quantile(0.9) > 1.25
    assert aspect.log().mean().abs() < 0.15
    scattered = as_mask(draw(14, 14, keep=40, kind="random", batch=500)[0], 14, 14)
    assert (circular_extent(scattered.any(2)) * circular_extent(scattered.any(1)) - 40 > 14).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_gets_its_own_draw_and_a_seed_gives_the_same_batch(kind):
    first, again, other = (
        draw(14, 14, keep=49, kind=kind, batch=256, seed=seed)[0] for seed in (0, 0, 1)
    )
    assert (
        len(first.unique(dim=0)) > 128
    )  # 196 centres and few shapes: blocks repeat; one draw for all would give 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_read_back_from_the_device(kind):
    """The meta device holds no values: whatever waits for one raises there."""
    visible, hidden = visible_cells(14, 14, batch=4, keep=49, kind=kind, device="meta")
    assert visible.shape == (4, 49)
    assert hidden.shape == (4, 147)
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.rand(4, 196, device="meta").max().item()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_no_host_sync_on_a_gpu(kind):
    torch.cuda.set_sync_debug_mode("error")
    try:
        visible, hidden = visible_cells(14, 14, batch=4, keep=49, kind=kind, device="cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (torch.cat([visible, hidden], 1).sort(1).values.cpu() == torch.arange(196)).all()


@pytest.mark.parametrize(
    ("cells", "ratio", "kept"),
    [
        *[(196, 0.75, 49), (64, 0.75, 16), (9, 0.6, 4), (10, 0.65, 4)],
        *[(10, 0.9, 1), (50, 0.8, 10), (100, 0.9, 10)],  # int(L * (1 - r)) gives one less
        *[(4, 0.99, 1), (4, 0.01, 3), (2, 0.5, 1)],
    ],
)
def test_kept_count_is_rounded_half_up_with_both_parts_non_empty(cells, ratio, kept):
    assert keep_count(cells, ratio) == kept


def test_the_published_rounding_loses_cells():
    assert int(10 * (1 - 0.9)) == 0
    assert int(50 * (1 - 0.8)) == int(100 * (1 - 0.9)) == 9


@given(st.integers(2, 400), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_kept_count_is_within_half_a_cell_unless_a_part_would_be_empty(cells, ratio):
    kept, wanted = keep_count(cells, ratio), cells * (1 - ratio)
    assert 1 <= kept <= cells - 1
    assert abs(kept - wanted) <= 0.5 + 1e-5 or kept in (1, cells - 1)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 75.0, float("nan")])
def test_a_ratio_outside_0_and_1_is_refused_by_key(ratio):
    with pytest.raises(ValueError, match=r"task\.mask_ratio=.*between 0 and 1"):
        keep_count(196, ratio)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"task\.mask_ratio=0\.5: needs 2 cells"):
        keep_count(1, 0.5)
    for keep in (0, 9):
        with pytest.raises(ValueError, match=f"keep={keep}: must lie between 1 and 8"):
            draw(3, 3, keep=keep, kind="random", batch=1)
    with pytest.raises(ValueError, match="kind=grid: must be random, block or inverse_block"):
        draw(3, 3, keep=4, kind="grid", batch=1)
