"""What is lost of an image as it is read is said, and nothing of ordinary ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ssl_patches.data import FolderSource
from ssl_patches.data.remarks import of_extents, of_files

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("extent", [(10, 10), (40, 30), (30, 80)])
def test_ordinary_images_are_not_remarked_on(extent: tuple[int, int]) -> None:
    assert of_extents({"a.png": extent}) == []


@pytest.mark.parametrize("extent", [(20, 4000), (4000, 20)])
def test_long_images_are(extent: tuple[int, int]) -> None:
    (line,) = of_extents({"a.png": extent, "b.png": (10, 10)})
    assert line.startswith("1 images (a.png)")
    assert "99.5 % of each is not" in line


def test_bands_pages_and_frames_are_named_by_every_source(tmp_path: Path) -> None:
    for at in range(3):
        (tmp_path / "plain").mkdir(exist_ok=True)
        (tmp_path / "nir").mkdir(exist_ok=True)
        (tmp_path / "frames").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"plain/{at}.tif", noise(12, 12, 3), photometric="rgb")
        tifffile.imwrite(
            tmp_path / f"nir/{at}.tif",
            noise(12, 12, 4),
            photometric="rgb",
            extrasamples=["unassalpha"],
        )
        first, *rest = (Image.fromarray(noise(12, 12)) for _ in range(3))
        first.save(tmp_path / f"frames/{at}.gif", save_all=True, append_images=rest)

    def remarks(name: str) -> list[str]:
        return list(FolderSource(root=str(tmp_path / name), split="train", image_size=8).remarks)

    assert remarks("plain") == []
    assert "fourth band" in remarks("nir")[0]
    assert "data.channels=4" in remarks("nir")[0]
    assert "several frames" in remarks("frames")[0]


def test_pages_beyond_the_channels_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(4, 12, 12), photometric="minisblack")
    (line,) = of_files({str(tmp_path / "a.tif"): (12, 12)}, 3)
    assert "4 pages or bands" in line
    assert of_files({str(tmp_path / "a.tif"): (12, 12)}, 4) == []
