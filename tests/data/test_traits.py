"""The traits of a file are those of its header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ssl_patches.data.traits import Traits, traits_of


@pytest.mark.parametrize("pages", [2, 3, 7])
def test_pages_of_one_size_are_channels(tmp_path: Path, pages: int) -> None:
    place = tmp_path / "a.tif"
    tifffile.imwrite(place, np.zeros((pages, 9, 8), np.uint8), photometric="minisblack")
    assert traits_of(str(place)) == Traits("TIFF", "array", pages)


def test_a_thumbnail_is_no_page(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((20, 20), np.uint8))
        file.write(np.zeros((5, 5), np.uint8))
    found = traits_of(str(tmp_path / "a.tif"))
    assert (found.mode, found.channels, found.pages) == ("L", 1, 1)


def test_frames_of_an_animation_are_counted(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    first, *rest = (
        Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)) for _ in range(3)
    )
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    assert traits_of(str(tmp_path / "a.gif")).pages == 3
