"""The records between the parts: whose tile, whose box, and whose place may be told."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl_patches.types import PatchBatch, PatchGrid, channels_last, take


@st.composite
def batches(draw: st.DrawFn, fractions: bool = False) -> PatchBatch:
    """Tiles whose every pixel is ``image * 100 + cell``, at random boxes in a view that need not be
    square."""
    count, cells = draw(st.integers(1, 4)), draw(st.integers(2, 9))
    height, width = draw(st.integers(6, 40)), draw(st.integers(6, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    extent = 1 + torch.rand(count, cells, 2, generator=generator) * (
        torch.tensor([height, width]) - 1
    )
    corner = torch.rand(count, cells, 2, generator=generator) * (
        torch.tensor([height, width]) - extent
    )
    boxes = (
        torch.cat([corner, extent], -1) if fractions else torch.cat([corner, extent], -1).floor()
    )
    number = torch.arange(count)[:, None] * 100.0 + torch.arange(cells)
    placed = torch.rand(count, cells, generator=generator) < 0.5
    return PatchBatch(
        number[..., None, None, None].expand(-1, -1, 3, 2, 2).clone(),
        boxes,
        placed,
        (height, width),
    )


def some_cells(patches: PatchBatch, data: st.DataObject, *, repeats: bool) -> Tensor:
    """(B, M) int64, another choice for each image."""
    cells = patches.tiles.shape[1]
    many = data.draw(st.integers(1, cells))
    rows = st.lists(st.integers(0, cells - 1), min_size=many, max_size=many, unique=not repeats)
    return torch.tensor([data.draw(rows) for _ in range(len(patches.tiles))])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(patches=batches(), data=st.data())
def test_slot_m_of_select_shows_tile_cells_m_with_its_box_and_place(
    patches: PatchBatch, data: st.DataObject
):
    cells = some_cells(patches, data, repeats=True)
    chosen = patches.select(cells)
    for image, row in enumerate(cells.tolist()):
        for slot, cell in enumerate(row):
            assert (chosen.tiles[image, slot] == image * 100 + cell).all()
            assert torch.equal(chosen.boxes[image, slot], patches.boxes[image, cell])
            assert chosen.placed[image, slot] == patches.placed[image, cell]
    assert chosen.size == patches.size


@settings(max_examples=20, deadline=None, derandomize=True)
@given(patches=batches(), data=st.data())
def test_select_leaves_colours_together_that_are(patches: PatchBatch, data: st.DataObject):
    cells = some_cells(patches, data, repeats=True)
    together = replace(patches, tiles=patches.tiles.movedim(2, -1).contiguous().movedim(-1, 2))
    assert torch.equal(together.select(cells).tiles, patches.select(cells).tiles)
    assert channels_last(together.select(cells).tiles)
    assert not channels_last(patches.select(cells).tiles)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(patches=batches(), data=st.data())
def test_selecting_twice_is_selecting_the_composed_cells(patches: PatchBatch, data: st.DataObject):
    first = some_cells(patches, data, repeats=False)
    second = torch.stack([torch.randperm(first.shape[1]) for _ in range(len(first))])
    twice, once = patches.select(first).select(second), patches.select(take(first, second))
    assert torch.equal(twice.tiles, once.tiles)
    assert torch.equal(twice.boxes, once.boxes)
    assert torch.equal(twice.placed, once.placed)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(patches=batches(), data=st.data(), uniform=st.sampled_from([True, False, None]))
def test_blind_withholds_just_those_places(
    patches: PatchBatch, data: st.DataObject, uniform: bool | None
):
    if uniform is not None:
        patches = replace(patches, placed=torch.full_like(patches.placed, uniform), uniform=uniform)
    before, cells = patches.placed.clone(), some_cells(patches, data, repeats=False)
    part, every = patches.blind(cells), patches.blind()
    expected = before.clone()
    for image, row in enumerate(cells.tolist()):
        expected[image, row] = False
    assert torch.equal(part.placed, expected)
    assert not every.placed.any()
    assert every.uniform is False
    assert torch.equal(patches.placed, before)
    assert part.tiles is patches.tiles  # what is shown does not change
    assert torch.equal(part.boxes, patches.boxes)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(patches=batches(), data=st.data(), uniform=st.booleans())
def test_uniform_never_claims_what_placed_denies(
    patches: PatchBatch, data: st.DataObject, uniform: bool
):
    patches = replace(patches, placed=torch.full_like(patches.placed, uniform), uniform=uniform)
    cells = some_cells(patches, data, repeats=False)
    made = [
        patches,
        patches.select(cells),
        patches.blind(cells),
        patches.blind(),
        patches.shuffled(),
    ]
    made += [
        patches.blind(cells).select(cells),
        patches.blind().shuffled(),
        patches.shuffled().blind(cells),
    ]
    for batch in made:
        assert batch.uniform is None or (batch.placed == batch.uniform).all()


def is_a_fair_shuffle(shuffled: PatchBatch, before: PatchBatch) -> bool:
    """Is each image's set of places kept, and does every tile get every place equally often?"""
    count, cells = before.tiles.shape[:2]
    same = (shuffled.boxes[:, :, None] == before.boxes[:, None]).all(-1)  # (B, tile, place)
    kept = bool((same.sum(1) == 1).all() and (same.sum(2) == 1).all())
    return kept and bool(
        (same.float().mean(0) - 1 / cells).abs().max() < 4.5 * (1 / cells / count) ** 0.5
    )


def nine_places(count: int = 4000) -> PatchBatch:
    corner = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)) * 8
    boxes = torch.cat([corner, torch.full((9, 2), 8.0)], 1).expand(count, -1, -1)
    return PatchBatch(
        torch.zeros(count, 9, 3, 8, 8),
        boxes,
        torch.zeros(count, 9, dtype=torch.bool),
        (24, 24),
        False,
    )


def test_shuffled_gives_each_tile_the_place_of_any_tile_of_its_image_alike():
    torch.manual_seed(0)
    before = nine_places()
    shuffled = before.shuffled()
    assert is_a_fair_shuffle(shuffled, before)
    assert shuffled.tiles is before.tiles
    assert shuffled.placed.all()
    assert shuffled.uniform is True


def test_the_shuffle_check_catches_a_rotation_and_places_drawn_with_repeats():
    torch.manual_seed(0)
    before = nine_places()
    half = torch.where(torch.rand(4000, 1, 1) < 0.5, before.boxes, before.boxes.roll(1, 1))
    repeats = take(before.boxes, torch.randint(9, (4000, 9)))
    assert not is_a_fair_shuffle(replace(before, boxes=half), before)
    assert not is_a_fair_shuffle(replace(before, boxes=repeats), before)


def test_take_follows_its_index_for_any_number_of_trailing_axes():
    cells = torch.tensor([[2, 0], [1, 1]])
    for shape in ((2, 3), (2, 3, 4), (2, 3, 4, 5)):
        values = torch.randn(shape)
        assert torch.equal(take(values, cells), torch.stack([values[0, [2, 0]], values[1, [1, 1]]]))


def test_a_grid_counts_its_cells():
    assert PatchGrid(rows=2, cols=3, tile=8).cells == 6
