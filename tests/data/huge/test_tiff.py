"""A part of a TIFF has the values that tifffile reads when it reads all of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data.huge.tiff import TiffImage, is_geo

tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(0)
BOXES = [(0, 0, 40, 40), (30, 17, 64, 50), (86, 140, 64, 60), (149, 199, 1, 1)]
COLOUR = RNG.integers(0, 256, (150, 200, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 60000, (150, 200), dtype=np.uint16)
STACK = RNG.integers(0, 60000, (5, 150, 200), dtype=np.uint16)
TILED = {"tile": (32, 48)}
KINDS = {
    "tiles": (COLOUR, 3, {**TILED, "photometric": "rgb"}),
    "deflate": (COLOUR, 3, {**TILED, "photometric": "rgb", "compression": "zlib"}),
    "planes apart": (
        np.moveaxis(COLOUR, 2, 0).copy(),
        3,
        {**TILED, "photometric": "rgb", "planarconfig": "separate"},
    ),
    "strips": (COLOUR, 3, {"photometric": "rgb", "rowsperstrip": 7, "compression": "zlib"}),
    "one strip": (COLOUR, 3, {"photometric": "rgb"}),
    "deep": (DEEP, 1, {**TILED, "compression": "zlib", "predictor": True}),
    "deep, one strip": (DEEP, 1, {}),
    "big-endian BigTIFF": (DEEP, 1, {**TILED, "byteorder": ">", "bigtiff": True}),
    "OME, five channels": (STACK, 5, {**TILED, "ome": True, "metadata": {"axes": "CYX"}}),
    "pages, one strip": (STACK, 5, {"photometric": "minisblack"}),
}


def written(path: Path, values: np.ndarray, **options: object) -> str:
    tifffile.imwrite(path, values, **options)
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_equals_that_part_of_the_whole(kind: str, tmp_path: Path) -> None:
    values, channels, options = KINDS[kind]
    path = written(tmp_path / "a.ome.tif", values, **options)
    whole = tifffile.imread(path)
    whole = whole[None] if whole.ndim == 2 else whole
    whole = whole if whole.shape[0] == channels else np.moveaxis(whole, 2, 0)
    image = TiffImage(path, channels=channels, value_range=None)
    assert image.levels[0] == (200, 150)
    for y, x, h, w in BOXES:
        part = image.read((y, x, h, w)).values
        assert np.array_equal(part, whole[:, y : y + h, x : x + w])
    image.close()


def test_the_levels_are_the_copies_in_the_file(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(COLOUR, subifds=1, photometric="rgb", **TILED)
        writer.write(COLOUR[::2, ::2], subfiletype=1, photometric="rgb", **TILED)
    image = TiffImage(str(tmp_path / "a.tif"), channels=3, value_range=None)
    assert image.levels == ((200, 150), (100, 75))
    assert np.array_equal(
        image.read((10, 20, 30, 40), 1).values, COLOUR[::2, ::2][10:40, 20:60].transpose(2, 0, 1)
    )


def test_only_the_tiles_of_a_part_are_read(tmp_path: Path, monkeypatch) -> None:
    path = written(tmp_path / "a.tif", COLOUR, photometric="rgb", compression="zlib", tile=(16, 16))
    image = TiffImage(path, channels=3, value_range=None)
    read, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda *given: read.append(given) or pread(*given))
    image.read((16, 16, 32, 32))
    assert len(read) == 4


def test_another_number_of_channels_is_refused_with_the_one_it_has(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ome.tif", STACK, ome=True, metadata={"axes": "CYX"}, **TILED)
    with pytest.raises(ValueError, match=r"has 5 channels.*set data.channels=5"):
        TiffImage(path, channels=3, value_range=None)


def test_a_file_cut_short_is_damage_of_the_parts_that_are_gone(tmp_path: Path) -> None:
    path = Path(written(tmp_path / "a.tif", COLOUR, photometric="rgb", **TILED))
    path.write_bytes(path.read_bytes()[:-2000])
    image = TiffImage(str(path), channels=3, value_range=None)
    assert image.read((0, 0, 20, 20)).values.shape == (3, 20, 20)
    with pytest.raises(ValueError, match="truncated"):
        image.read((130, 180, 20, 20))


def test_a_huge_strip_that_is_compressed_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ssl_patches.data.huge.image.LARGEST_SEGMENT", 1000)
    path = written(tmp_path / "a.tif", COLOUR, photometric="rgb", compression="zlib")
    with pytest.raises(ValueError, match="tile"):
        TiffImage(path, channels=3, value_range=None)


def test_a_place_on_earth_is_seen_in_the_header(tmp_path: Path) -> None:
    tags = [(34735, "H", 4, (1, 1, 0, 0), True)]
    assert is_geo(written(tmp_path / "a.tif", DEEP, extratags=tags))
    assert not is_geo(written(tmp_path / "b.tif", DEEP))
    (tmp_path / "c.tif").write_bytes(b"II*\0")
    assert not is_geo(str(tmp_path / "c.tif"))
