"""Geometry by content: on an image whose two channels are its own coordinates, a tile says where it
was cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from ssl_patches.sampler import ColourTreatment, PatchSampler
from ssl_patches.sampler.cut import gather_tiles, scaled_tiles
from ssl_patches.types import PatchBatch, PatchGrid, Views, channels_last
from ssl_patches.views import CropFlip

PLAIN = {"mean": (0.0, 0.0), "std": (1.0, 1.0)}
RGB = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
DRAWS = 300

Check = Callable[[PatchSampler, PatchBatch], bool]


def coordinates(count: int, size: int) -> Tensor:
    """(count, 2, size, size) float: channel 0 holds the row of each pixel, channel 1 its column."""
    line = torch.arange(size, dtype=torch.float32)
    return torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(count, -1, -1, -1)


@st.composite
def samplers(draw: st.DrawFn) -> PatchSampler:
    """Any geometry of whole pixels that fits."""
    size, rows, cols = draw(st.integers(6, 48)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    assume(rows * cols > 1)
    cell = min(size // rows, size // cols)
    gap = draw(st.integers(0, cell - 1))
    tile = draw(st.integers(1, cell - gap))
    jitter = draw(st.none() | st.integers(0, cell - gap - tile))
    return PatchSampler(
        image_size=size, rows=rows, cols=cols, tile=tile, gap=gap, jitter=jitter, **PLAIN
    )


def cut(sampler: PatchSampler, count: int = DRAWS) -> PatchBatch:
    torch.manual_seed(0)
    return sampler(coordinates(count, sampler.image_size))


def stretches(sampler: PatchSampler, patches: PatchBatch) -> tuple[Tensor, Tensor]:
    """First and last row and column of each tile, (B, rows, cols, 2) each, read from its pixels."""
    pixels = patches.tiles.flatten(3).unflatten(1, (sampler.grid.rows, sampler.grid.cols))
    return pixels.amin(-1), pixels.amax(-1)


# Each check is a property of what was cut; broken samplers below are caught by the same functions.


def tiles_hold_the_pixels_of_their_boxes(sampler: PatchSampler, patches: PatchBatch) -> bool:
    line = torch.arange(sampler.tile)
    y, x = (
        patches.boxes[..., 0, None, None] + line[:, None],
        patches.boxes[..., 1, None, None] + line,
    )
    extents = (patches.boxes[..., 2:] == sampler.tile).all()
    return bool(extents) and torch.equal(
        patches.tiles, torch.stack(torch.broadcast_tensors(y, x), 2)
    )


def order_is_raster(sampler: PatchSampler, patches: PatchBatch) -> bool:
    first, last = stretches(sampler, patches)
    down, right = (
        first[:, 1:, ..., 0] > last[:, :-1, ..., 0],
        first[:, :, 1:, ..., 1] > last[:, :, :-1, ..., 1],
    )
    return bool(down.all() and right.all())


def gap_is_never_less(sampler: PatchSampler, patches: PatchBatch) -> bool:
    first, last = stretches(sampler, patches)
    below = (
        first[:, 1:, :, 0].amin(2) - last[:, :-1, :, 0].amax(2) - 1
    )  # between whole rows of tiles
    beside = first[:, :, 1:, 1].amin(1) - last[:, :, :-1, 1].amax(1) - 1
    return all(bool((free >= sampler.gap).all()) for free in (below, beside))


def boxes_lie_inside(sampler: PatchSampler, patches: PatchBatch) -> bool:
    corner, far = patches.boxes[..., :2], patches.boxes[..., :2] + patches.boxes[..., 2:]
    return bool((corner >= 0).all() and (far <= sampler.image_size).all())


def every_line_is_cut(sampler: PatchSampler, patches: PatchBatch) -> bool:
    lines = range(sampler.image_size)
    return all(
        set(patches.tiles[:, :, axis].unique().long().tolist()) == set(lines) for axis in (0, 1)
    )


GEOMETRY: list[Check] = [
    tiles_hold_the_pixels_of_their_boxes,
    order_is_raster,
    gap_is_never_less,
    boxes_lie_inside,
    every_line_is_cut,
]


@pytest.mark.parametrize("check", GEOMETRY)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(sampler=samplers())
@example(sampler=PatchSampler(image_size=32, rows=3, cols=3, tile=6, gap=2, jitter=0, **PLAIN))
def test_geometry(check: Check, sampler: PatchSampler):
    assert check(sampler, cut(sampler))


class JitterOverTheGap(PatchSampler):
    """A tile anywhere in its cell."""

    def boxes(self, count: int, device: torch.device) -> Tensor:
        boxes = super().boxes(count, device)
        index = torch.arange(self.grid.cells)
        cell = torch.stack(
            [index // self.grid.cols * self.cell[0], index % self.grid.cols * self.cell[1]], -1
        )
        room = torch.tensor(self.cell) - self.tile
        corner = cell + (torch.rand(*boxes.shape[:2], 2) * (room + 1)).floor()
        return torch.cat([corner, boxes[..., 2:]], -1)


class NeverTheLastLine(PatchSampler):
    """I-JEPA's public sampler: randint(0, high), where high itself was meant to be possible."""

    def boxes(self, count: int, device: torch.device) -> Tensor:
        boxes = super().boxes(count, device)
        return torch.cat(
            [boxes[..., :2].clamp(max=self.image_size - self.tile - 1), boxes[..., 2:]], -1
        )


class ColumnsFirst(PatchSampler):
    def forward(self, images: Tensor) -> PatchBatch:
        order = torch.arange(self.grid.cells).view(self.grid.rows, self.grid.cols).T.flatten()
        return super().forward(images).select(order.expand(len(images), -1))


class CutsBesideTheBox(PatchSampler):
    def _cutter(
        self, images: Tensor, boxes: Tensor, offsets: Tensor | None, grid: PatchGrid
    ) -> Callable[[slice], Tensor]:
        return lambda part: gather_tiles(images[part], boxes[part][..., [1, 0, 2, 3]], self.tile)


class BeyondTheView(PatchSampler):
    def boxes(self, count: int, device: torch.device) -> Tensor:
        return super().boxes(count, device) - torch.tensor([1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (CutsBesideTheBox, tiles_hold_the_pixels_of_their_boxes),
        (ColumnsFirst, order_is_raster),
        (JitterOverTheGap, gap_is_never_less),
        (BeyondTheView, boxes_lie_inside),
        (NeverTheLastLine, every_line_is_cut),
    ],
)
def test_the_geometry_checks_catch_broken_samplers(broken: type[PatchSampler], check: Check):
    sampler = broken(image_size=32, rows=3, cols=3, tile=6, gap=2, **PLAIN)
    assert not check(sampler, cut(sampler))


def test_a_tile_is_as_likely_at_each_place_of_its_room():
    sampler = PatchSampler(
        image_size=24, rows=2, cols=2, tile=8, gap=1, **PLAIN
    )  # inside 0..3, the grid 0..1
    start = cut(sampler, 8000).boxes[:, 0, :2].long()
    expected = torch.tensor([1.0, 2, 2, 2, 1]) / 8  # of the sum of the two draws
    for axis in (0, 1):
        share = torch.bincount(start[:, axis], minlength=5) / 8000
        assert (share - expected).abs().max() < 4.5 * 0.25**0.5 / 8000**0.5


@settings(max_examples=25, deadline=None, derandomize=True)
@given(tile=st.integers(1, 12), cells=st.integers(2, 5), seed=st.integers(0, 99))
def test_a_dense_grid_equals_the_gather(tile: int, cells: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(
        256, (3, 2, tile * cells, tile * cells), generator=generator, dtype=torch.uint8
    )
    sampler = PatchSampler(image_size=tile * cells, tile=tile, **PLAIN)
    patches = sampler(images)
    assert sampler.grid.dense
    assert sampler.grid.rows == sampler.grid.cols == cells
    assert torch.allclose(
        patches.tiles, gather_tiles(images, patches.boxes, tile).float() / 255, atol=1e-6
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    tile=st.integers(1, 9),
    cells=st.integers(2, 4),
    channels=st.sampled_from([1, 3, 4]),
    standardise=st.booleans(),
    grey=st.booleans(),
    levels=st.booleans(),
    cache=st.sampled_from([1, 10**3, 10**9]),
)
def test_a_dense_grid_of_images_whose_colours_lie_together_has_the_same_tiles(
    tile: int, cells: int, channels: int, standardise: bool, grey: bool, levels: bool, cache: int
):
    images = torch.randint(256, (5, channels, tile * cells, tile * cells), dtype=torch.uint8)
    images = images if levels else images.float() / 255
    statistics = {"mean": (0.5, 0.4, 0.3, 0.2)[:channels], "std": (0.2, 0.3, 0.4, 0.5)[:channels]}
    colour = ColourTreatment(grey=0.5) if grey else None
    sampler = PatchSampler(
        image_size=tile * cells, tile=tile, standardise=standardise, colour=colour, **statistics
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ssl_patches.sampler.patch_sampler.IN_CACHE", cache)
        torch.manual_seed(0)
        apart = sampler(images).tiles
        torch.manual_seed(0)
        together = sampler(images.to(memory_format=torch.channels_last)).tiles
    assert (together - apart).abs().max() <= 2e-6 * max(1.0, apart.abs().max())
    assert channels_last(together) == (channels > 1 and tile > 1)


SCALED = [(0.5, 0.5), (0.87, 0.87), (0.6, 1.0), (1.25, 1.25)]


@pytest.mark.parametrize("scales", SCALED)
def test_scaled_tiles_equal_a_crop_and_an_antialiased_resize(scales: tuple[float, float]):
    torch.manual_seed(0)
    images = torch.randint(256, (2, 3, 40, 40), dtype=torch.uint8)
    sampler = PatchSampler(image_size=40, rows=2, cols=2, tile=12, gap=1, scales=scales, **RGB)
    whole = sampler(images).boxes.round()  # a crop has whole pixels
    whole[..., 2:] = whole[..., 2:].clamp(max=20)
    found = scaled_tiles(images, whole, 12)
    for image in range(2):
        for cell in range(4):
            y, x, h, w = whole[image, cell].int().tolist()
            plain = tv.resized_crop(
                images[image].float() / 255, y, x, h, w, [12, 12], antialias=True
            )
            assert torch.allclose(found[image, cell], plain, atol=1e-5)


@pytest.mark.parametrize("scales", SCALED)
def test_scaled_tiles_lie_where_their_boxes_say(scales: tuple[float, float]):
    sampler = PatchSampler(image_size=48, rows=2, cols=3, tile=10, gap=1, scales=scales, **PLAIN)
    patches = cut(sampler, 50)
    middle = (
        patches.tiles.mean((3, 4)) + 0.5
    )  # of a linear ramp: the centre of the box, but for its clipped rim
    assert (middle - patches.boxes[..., :2] - patches.boxes[..., 2:] / 2).abs().max() < 0.3


def lines_read(sampler: PatchSampler, draws: int) -> Tensor:
    """(draws, K, S) bool: the image rows on which each tile depends, by its gradient."""
    images = torch.zeros(draws, 2, sampler.image_size, sampler.image_size, requires_grad=True)
    tiles = sampler(images).tiles
    read = []
    for cell in range(tiles.shape[1]):
        (gradient,) = torch.autograd.grad(tiles[:, cell].sum(), images, retain_graph=True)
        read.append(gradient.abs().sum((1, 3)) > 0)
    return torch.stack(read, 1)


def fewest_free(read: Tensor, sampler: PatchSampler) -> int:
    """Rows of pixels between vertical neighbours that neither reads, at least; negative when they
    share some."""
    line = torch.arange(sampler.image_size)
    rows = read.unflatten(1, (sampler.grid.rows, sampler.grid.cols))
    last = torch.where(rows, line, -1).amax(-1)[:, :-1]
    first = torch.where(rows, line, sampler.image_size).amin(-1)[:, 1:]
    return int((first - last).min()) - 1


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("scales", SCALED[1:])
@pytest.mark.parametrize("jitter", [None, 0])
def test_scaled_neighbours_keep_the_gap_in_pixels_and_reach_every_row(
    gap: int, scales: tuple[float, float], jitter: int | None
):
    torch.manual_seed(0)
    sampler = PatchSampler(
        image_size=35, rows=2, cols=2, tile=10, gap=gap, scales=scales, jitter=jitter, **PLAIN
    )
    read = lines_read(sampler, DRAWS)
    assert fewest_free(read, sampler) >= gap
    assert read.any(0).any(0).all()


def test_the_pixel_gap_check_catches_a_grid_that_begins_between_pixels():
    class Between(PatchSampler):
        def boxes(self, count: int, device: torch.device) -> Tensor:
            boxes = super().boxes(count, device)
            return boxes - torch.tensor([0.5, 0.0, 0.0, 0.0]) * (boxes[:, :1, :1] >= 1)

    torch.manual_seed(0)
    sampler = Between(image_size=35, rows=2, cols=2, tile=10, gap=0, scales=(1.0, 1.7), **PLAIN)
    assert fewest_free(lines_read(sampler, DRAWS), sampler) < 0


def test_a_flip_before_the_cut_leaves_labels_right_and_one_after_mirrors_them():
    sampler = PatchSampler(image_size=24, rows=3, cols=3, tile=6, gap=1, **PLAIN)
    view = CropFlip(image_size=24, scale=(1, 1), ratio=(1, 1), flip=1.0)
    images = coordinates(DRAWS, 24)
    before, after = sampler(view(images)), sampler(images).tiles.flip(-1)
    assert torch.allclose(view(images)[:, 1, :, 0], torch.full((DRAWS, 24), 23.0))  # it does flip
    line = torch.arange(6)
    seen = 23 - (before.boxes[..., 1, None, None] + line)  # what lies at the box of the *view*
    assert torch.allclose(before.tiles[:, :, 1], seen.expand_as(before.tiles[:, :, 1]), atol=1e-4)
    assert (
        after[..., 0, 0][:, :, 1] > after[..., 0, -1][:, :, 1]
    ).all()  # within a tile right to left,
    assert (
        after[:, 0, 1].amax((1, 2)) < after[:, 2, 1].amin((1, 2))
    ).all()  # and from cell to cell left to right


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 999), spread=st.sampled_from([2, 20, 255]))
def test_a_standardised_tile_has_mean_0_and_deviation_1(seed: int, spread: int):
    torch.manual_seed(seed)
    images = torch.randint(256 - spread, 256, (2, 3, 32, 32), dtype=torch.uint8)
    tiles = PatchSampler(image_size=32, rows=3, cols=3, standardise=True)(images).tiles.flatten(2)
    assert tiles.mean(2).abs().max() < 1e-4
    assert (tiles.std(2, correction=0) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_tile_stays_near_zero_and_one_odd_pixel_stays_finite(value: int):
    images = torch.full((2, 3, 32, 32), value, dtype=torch.uint8)
    sampler = PatchSampler(image_size=32, rows=3, cols=3, standardise=True)
    assert sampler(images).tiles.abs().max() < 0.02
    images[..., 16, 16] ^= 1
    assert sampler.eval()(images).tiles.abs().max() < 100


def test_without_standardise_the_tiles_are_in_units_of_mean_and_std():
    sampler = PatchSampler(image_size=8, tile=4, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    patches = sampler(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8))
    assert patches.tiles[0, 0, :, 0, 0].tolist() == pytest.approx([1.0, 3.0, 1.0], abs=1e-6)
    assert torch.allclose(
        sampler.denormalise(patches.tiles), torch.ones_like(patches.tiles), atol=1e-6
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(sampler=samplers(), data=st.data())
def test_a_channel_shift_moves_each_channel_by_0_to_n_pixels_inside_the_gap(
    sampler: PatchSampler, data: st.DataObject
):
    free = min(sampler.cell) - sampler.gap - sampler.tile
    shift = data.draw(st.integers(0, min(2, free)))
    jitter = data.draw(st.none() | st.integers(0, free - shift))
    rows, cols, size = sampler.grid.rows, sampler.grid.cols, sampler.image_size
    shifted = PatchSampler(
        image_size=size,
        rows=rows,
        cols=cols,
        tile=sampler.tile,
        gap=sampler.gap,
        jitter=jitter,
        colour=ColourTreatment(channel_shift=shift),
        **PLAIN,
    )
    patches = cut(shifted, 1500)
    moved = (
        patches.tiles[..., 0, 0] - patches.boxes[..., :2]
    )  # channel 0 tells its row, channel 1 its column
    assert set(moved.unique().tolist()) == set(range(shift + 1))
    assert gap_is_never_less(shifted, patches)
    assert order_is_raster(shifted, patches)
    assert every_line_is_cut(shifted, patches)


def test_channels_of_a_scaled_tile_are_shifted_too_and_each_by_itself():
    colour = ColourTreatment(channel_shift=2)
    sampler = PatchSampler(
        image_size=32, rows=2, cols=2, tile=8, scales=(1.25, 1.25), colour=colour, **PLAIN
    )
    same = PatchSampler(image_size=32, rows=2, cols=2, tile=8, scales=(1.25, 1.25), **PLAIN)
    patches = cut(sampler)
    moved = patches.tiles - scaled_tiles(coordinates(DRAWS, 32), patches.boxes, same.tile)
    assert set(moved[..., 4, 4].round().unique().tolist()) == {0.0, 1.0, 2.0}
    assert (moved[:, :, 0, 4, 4].round() != moved[:, :, 1, 4, 4].round()).any()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(sampler=samplers())
def test_eval_mode_is_the_same_for_every_call_and_image_in_whole_pixels(sampler: PatchSampler):
    sampler.eval()
    patches, again = cut(sampler, 3), sampler(coordinates(3, sampler.image_size))
    assert torch.equal(patches.tiles, again.tiles)
    assert torch.equal(patches.boxes, again.boxes)
    assert (patches.boxes == patches.boxes[:1]).all()
    assert all(check(sampler, patches) for check in GEOMETRY[:-1])


def test_eval_mode_leaves_colours_alone_and_sits_in_the_middle():
    colour = ColourTreatment(grey=1.0, channel_shift=1)
    sampler = PatchSampler(
        image_size=33, rows=3, cols=3, tile=6, gap=2, colour=colour, **RGB
    ).eval()
    images = torch.rand(2, 3, 33, 33)
    patches = sampler(images)
    assert torch.equal(patches.tiles, gather_tiles(images, patches.boxes, 6))
    first, last = patches.boxes[0, 0, :2], patches.boxes[0, -1, :2] + 6
    assert (first - (33 - last)).abs().max() <= 2


def test_train_mode_draws_anew_for_each_image_tile_and_axis():
    boxes = cut(PatchSampler(image_size=32, rows=2, cols=2, tile=4, gap=0, **PLAIN)).boxes
    offset = boxes[..., :2] % 16
    assert (offset[0] != offset[1]).any()
    for a, b in ((offset[:, 0, 0], offset[:, 1, 0]), (offset[:, 0, 0], offset[:, 0, 1])):
        assert torch.corrcoef(torch.stack([a, b]))[0, 1].abs() < 4.5 / DRAWS**0.5


def two_and_two(side: int) -> Views:
    torch.manual_seed(0)
    return Views(torch.rand(2, 3, 32, 32), 2, 2, torch.rand(2, 3, side, side), 2)


@pytest.mark.parametrize("knobs", [{}, {"standardise": True}])
def test_small_crops_are_treated_as_those_of_a_sampler_of_their_side(knobs: dict[str, bool]):
    views = two_and_two(16)
    small = PatchSampler(image_size=32, unit=8, **knobs)(views).small
    alone = PatchSampler(image_size=16, unit=8, **knobs)(views.small)
    assert small is not None
    assert torch.equal(small.tiles, alone.tiles)
    assert torch.equal(small.boxes, alone.boxes)
    assert (small.size, small.views, small.large) == ((16, 16), 2, 0)


def test_a_small_crop_of_a_sampler_of_whole_views_is_one_tile():
    cutter, views = PatchSampler(image_size=32, rows=1, cols=1, tile=32, gap=0), two_and_two(12)
    small = cutter(views).small
    assert small is not None
    assert torch.allclose(small.tiles[:, 0], (views.small - cutter.mean) / cutter.std, atol=1e-6)


def test_colours_of_small_crops_are_treated_too():
    grey = PatchSampler(image_size=32, unit=8, colour=ColourTreatment(grey=1.0), std=(1, 1, 1))
    small = grey(two_and_two(16)).small
    assert small is not None
    tiles = small.tiles + grey.mean
    assert torch.allclose(tiles[:, :, 0], tiles[:, :, 2], atol=1e-6)


def test_cutting_leaves_the_sampler_as_it_was():
    cutter = PatchSampler(image_size=32, unit=8)
    before = dict(vars(cutter))
    cutter(two_and_two(16))
    assert vars(cutter) == before
