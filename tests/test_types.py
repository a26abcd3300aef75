"""The records between the parts: whose tile, whose box, and whose place may be told."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl_patches.types import PatchBatch, PatchGrid, take


@st.composite
def batches(draw: st.DrawFn, fractions: bool = False) -> PatchBatch:
    """Tiles whose every pixel is ``image * 100 + cell``, at random boxes in a view that need not be square."""
    count, cells = draw(st.integers(1, 4)), draw(st.integers(2, 9))
    height, width = draw(st.integers(6, 40)), draw(st.integers(6, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    extent = 1 + torch.rand(count, cells, 2, generator=generator) * (torch.tensor([height, width]) - 1)
    corner = torch.rand(count, cells, 2, generator=generator) * (torch.tensor([height, width]) - extent)
    boxes = torch.cat([corner, extent], -1) if fractions else torch.cat([corner, extent], -1).floor()
    number = torch.arange(count)[:, None] * 100.0 + torch.arange(cells)
    placed = torch.rand(count, cells, generator=generator) < 0.5
    return PatchBatch(number[..., None, None, None].expand(-1, -1, 3, 2, 2).clone(), boxes, placed, (height, width))


def some_cells(patches: PatchBatch, data: st.DataObject, *, repeats: bool) -> Tensor:
    """(B, M) int64, another choice for each image."""
    cells = patches.tiles.shape[1]
    many = data.draw(st.integers(1, cells))
    rows = st.lists(st.integers(0, cells - 1), min_size=many, max_size=many, unique=not repeats)
    return torch.tensor([data.draw(rows) for _ in range(len(patches.tiles))])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(patches=batches(), data=st.data())
def test_slot_m_of_select_shows_tile_cells_m_with_its_box_and_place(patches: PatchBatch, data: st.DataObject):
    cells = some_cells(patches, data, repeats=True)
    chosen = patches.select(cells)
    for image, row in enumerate(cells.tolist()):
        for slot, cell in enumerate(row):
            assert (chosen.tiles[image, slot] == image * 100 + cell).all()
            assert torch.equal(chosen.boxes[image, slot], patches.boxes[image, cell])
            assert chosen.placed[image, slot] == patches.placed[image, cell]
    assert chosen.size == patches.size


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
def test_blind_withholds_just_those_places(patches: PatchBatch, data: st.DataObject, uniform: bool | None):
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
def test_uniform_never_claims_what_placed_denies(patches: PatchBatch, data: st.DataObject, uniform: bool):
    patches = replace(patches, placed=torch.full_like(patches.placed, uniform), uniform=uniform)
    cells = some_cells(patches, data, repeats=False)
    made = [patches, patches.select(cells), patches.blind(cells), patches.blind(), patches.displaced()]
    made += [patches.blind(cells).select(cells), patches.blind().displaced(), patches.displaced().blind(cells)]
    for batch in made:
        assert batch.uniform is None or (batch.placed == batch.uniform).all()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(patches=batches(fractions=True), step=st.integers(1, 8))
def test_displaced_keeps_extents_and_pixels_and_stays_in_the_view(patches: PatchBatch, step: int):
    moved = patches.displaced(step)
    corner, extent = moved.boxes[..., :2], moved.boxes[..., 2:]
    assert torch.equal(extent, patches.boxes[..., 2:])
    assert torch.equal(corner % step, torch.zeros_like(corner))
    assert (corner >= 0).all()
    assert (corner + extent <= torch.tensor(patches.size) + 1e-4).all()
    assert moved.tiles is patches.tiles
    assert moved.placed.all()
    assert moved.uniform is True


def far_apart(count: int = 4000) -> PatchBatch:
    """Two tiles of 8 px in opposite corners of a view of 16 x 24."""
    boxes = torch.tensor([[0.0, 0, 8, 8], [8, 16, 8, 8]]).expand(count, -1, -1)
    return PatchBatch(torch.zeros(count, 2, 3, 8, 8), boxes, torch.ones(count, 2, dtype=torch.bool), (16, 24), True)


def says_nothing(moved: PatchBatch, step: int) -> bool:
    """Are the new places of both tiles spread alike over all places, and independent of each other?"""
    count, even = len(moved.boxes), True
    for axis, room in enumerate((8, 16)):
        places = room // step + 1
        index = (moved.boxes[..., axis] / step).long()
        for tile in (0, 1):
            share = torch.bincount(index[:, tile], minlength=places) / count
            even &= bool((share - 1 / places).abs().max() < 4.5 * (1 / places / count) ** 0.5)
        even &= bool(torch.corrcoef(index.T.float())[0, 1].abs() < 4.5 / count**0.5)
    return even


def test_displaced_places_are_independent_of_the_cell_and_of_each_other():
    torch.manual_seed(0)
    for step in (1, 4):
        assert says_nothing(far_apart().displaced(step), step)
    torch.manual_seed(1)
    here = far_apart().displaced(4).boxes
    torch.manual_seed(1)
    there = replace(far_apart(), boxes=far_apart().boxes.flip(1)).displaced(4).boxes
    assert torch.equal(here, there)  # where a tile was cut does not enter


def test_the_check_catches_a_jitter_of_the_true_place_and_one_shift_for_the_image():
    torch.manual_seed(0)
    moved = far_apart().displaced(4)
    near = torch.cat([(far_apart().boxes[..., :2] + moved.boxes[..., :2]) / 2 // 4 * 4, moved.boxes[..., 2:]], -1)
    assert not says_nothing(replace(moved, boxes=near), 4)
    assert not says_nothing(replace(moved, boxes=moved.boxes[:, :1].expand(-1, 2, -1)), 4)


def is_a_fair_shuffle(shuffled: PatchBatch, before: PatchBatch) -> bool:
    """Is each image's set of places kept, and does every tile get every place equally often?"""
    count, cells = before.tiles.shape[:2]
    same = (shuffled.boxes[:, :, None] == before.boxes[:, None]).all(-1)  # (B, tile, place)
    kept = bool((same.sum(1) == 1).all() and (same.sum(2) == 1).all())
    return kept and bool((same.float().mean(0) - 1 / cells).abs().max() < 4.5 * (1 / cells / count) ** 0.5)


def nine_places(count: int = 4000) -> PatchBatch:
    corner = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)) * 8
    boxes = torch.cat([corner, torch.full((9, 2), 8.0)], 1).expand(count, -1, -1)
    return PatchBatch(torch.zeros(count, 9, 3, 8, 8), boxes, torch.zeros(count, 9, dtype=torch.bool), (24, 24), False)


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
