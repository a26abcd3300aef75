"""Windows cover every pixel; flat and missing ones are left out, faint ones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data.huge.grid import Rule, window_grid
from ssl_patches.data.huge.image import Box, HugeImage
from ssl_patches.data.stored import Stored

RNG = np.random.default_rng(0)


def rule(**options: object) -> Rule:
    given = {"window": 64, "level": 0, "channels": 1, "value_range": None}
    return Rule(**{**given, "least_spread": 3.0, "most_missing": 0.5, **options})


class InMemory(HugeImage):
    """An image (H, W) with copies of smaller sizes."""

    def __init__(self, pixels: np.ndarray, *, halves: int = 0, block: int = 32) -> None:
        self.pixels = [pixels]
        for _ in range(halves):
            h, w = (side // 2 * 2 for side in self.pixels[-1].shape)
            last = self.pixels[-1][:h, :w].astype(float)
            self.pixels.append(
                np.rint(last.reshape(h // 2, 2, w // 2, 2).mean((1, 3))).astype(pixels.dtype)
            )
        self.levels = tuple((each.shape[1], each.shape[0]) for each in self.pixels)
        self.channels, self.block = 1, (block, block)
        self.asked: list[tuple[Box, int]] = []

    def read(self, box: Box, level: int = 0) -> Stored:
        self.asked.append((box, level))
        y, x, h, w = box
        wide, high = self.levels[level]
        assert y >= 0
        assert x >= 0
        assert y + h <= high
        assert x + w <= wide
        return Stored(values=self.pixels[level][None, y : y + h, x : x + w], no_data=0)


def texture(height: int, width: int, spread: float, *, size: int = 16) -> np.ndarray:
    """Grey with patches of ``size`` pixels, whose deviation is ``spread``."""
    cells = RNG.normal(150, spread, (-(-height // size), -(-width // size)))
    return np.clip(np.kron(cells, np.ones((size, size)))[:height, :width], 1, 254).astype(np.uint8)


@pytest.mark.parametrize("extent", [(64, 64), (65, 64), (200, 130), (300, 191)])
def test_every_pixel_lies_in_a_window_and_windows_in_the_image(extent, tmp_path: Path) -> None:
    wide, high = extent
    image = InMemory(texture(high, wide, 40))
    grid = window_grid(image, "a", rule(least_spread=0), folder=None)
    seen = np.zeros((high, wide), int)
    for number in grid.kept:
        y, x, h, w = grid.box(number)
        assert (h, w) == (64, 64)
        seen[y : y + h, x : x + w] += 1
    assert len(grid.kept) == grid.count == -(-wide // 64) * -(-high // 64)
    assert seen.shape == (high, wide)
    assert seen.min() >= 1


@pytest.mark.parametrize("halves", [0, 2, 4])
def test_flat_and_missing_windows_are_left_out_and_faint_ones_are_not(halves: int) -> None:
    """Four kinds beside each other: noise of a sensor on glass, no data, faint, plain texture."""
    glass = np.clip(RNG.normal(235, 4, (256, 256)), 1, 254).astype(np.uint8)
    faint, plain = texture(256, 256, 8), texture(256, 256, 40)
    pixels = np.concatenate([glass, np.zeros((256, 256), np.uint8), faint, plain], 1)
    image = InMemory(pixels, halves=halves)
    grid = window_grid(image, "a", rule(window=256), folder=None)
    assert grid.kept.tolist() == [2, 3]
    assert window_grid(image, "a", rule(window=256, least_spread=0), folder=None).kept.tolist() == [
        *(0, 2, 3)
    ]


def test_a_smaller_copy_is_looked_at_or_the_middle_of_each_window_never_all() -> None:
    pixels = texture(1024, 1024, 40)
    with_copies, without = InMemory(pixels, halves=4), InMemory(pixels)
    for image in (with_copies, without):
        window_grid(image, "a", rule(window=256), folder=None)
        assert sum(h * w for (_, _, h, w), _ in image.asked) <= 1024 * 1024 / 16
    assert {level for _, level in with_copies.asked} == {4}


def test_what_is_found_is_kept_and_found_anew_for_another_rule(tmp_path: Path) -> None:
    image, file = InMemory(texture(256, 512, 40)), tmp_path / "a.tif"
    file.write_bytes(b"as it was")
    first = window_grid(image, str(file), rule(), folder=tmp_path / "kept")
    asked = len(image.asked)
    again = window_grid(image, str(file), rule(), folder=tmp_path / "kept")
    assert (again.kept.tolist(), len(image.asked)) == (first.kept.tolist(), asked)
    window_grid(image, str(file), rule(least_spread=9.0), folder=tmp_path / "kept")
    assert len(image.asked) > asked
    (kept,) = [path for path in (tmp_path / "kept").iterdir() if path.stat().st_size][:1]
    kept.write_text('{"windows": 32, "full": "no"}')  # not what we wrote: found again
    assert window_grid(image, str(file), rule(), folder=tmp_path / "kept").kept.tolist() == (
        first.kept.tolist()
    )


def test_boxes_of_a_smaller_level_are_told_in_pixels_of_the_full_size() -> None:
    grid = window_grid(InMemory(texture(512, 512, 40), halves=1), "a", rule(level=1), folder=None)
    assert grid.box(5) == (64, 64, 64, 64)
    assert grid.full_box(5) == (128, 128, 128, 128)


def test_a_window_larger_than_its_image_and_a_level_that_is_not_there_are_refused() -> None:
    image = InMemory(texture(100, 50, 40))
    with pytest.raises(ValueError, match=r"data.window=64 is larger: set data.window=50"):
        window_grid(image, "a", rule(), folder=None)
    with pytest.raises(ValueError, match=r"has 1 levels .*set data.level=0"):
        window_grid(image, "a", rule(level=1), folder=None)
