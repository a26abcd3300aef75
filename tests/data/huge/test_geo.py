"""A part of a GeoTIFF has the values that rasterio wrote; what has no data is masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data.huge.geo import GeoImage, row_blocks
from ssl_patches.data.huge.tiff import is_geo
from ssl_patches.data.stored import square

rasterio = pytest.importorskip("rasterio", reason="the extra [geo] is not installed")
BANDS = np.random.default_rng(0).integers(1, 9000, (5, 200, 240), dtype=np.uint16)


def written(path: Path, values: np.ndarray, **options: Any) -> str:
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2]}
    place = rasterio.Affine(0.1, 0, 10, 0, -0.1, 50)
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    with rasterio.open(
        *(path, "w"),
        **{"driver": "GTiff", "dtype": values.dtype, "crs": "EPSG:4326", "transform": place},
        **{**shape, **tiles, **options},
    ) as file:
        file.write(values)
        file.build_overviews([2, 4])
    return str(path)


def test_all_bands_are_read_and_what_is_no_data_is_masked(tmp_path: Path) -> None:
    values = BANDS.copy()
    values[:, :50, :60] = 0
    path = written(tmp_path / "a.tif", values, nodata=0)
    assert is_geo(path)
    image = GeoImage(path, channels=5)
    assert image.levels == ((240, 200), (120, 100), (60, 50))
    part = image.read((30, 40, 64, 64))
    assert np.array_equal(part.values, values[:, 30:94, 40:104])
    assert np.array_equal(part.missing, part.values == 0)
    shown = square(part, channels=5, size=64, value_range=(0, 9000))
    assert not shown[:, :20, :20].any()
    assert shown[:, 20:, 20:].any()
    image.close()


def test_a_band_of_transparency_is_a_mask_unless_it_is_asked_for(tmp_path: Path) -> None:
    values = np.full((4, 128, 128), 200, np.uint8)
    values[3, :64] = 0
    path = written(tmp_path / "a.tif", values, photometric="RGB", alpha="YES")
    image = GeoImage(path, channels=3)
    missing = image.read((0, 0, 128, 128)).missing
    assert missing is not None
    assert missing[:, :64].all()
    assert not missing[:, 64:].any()
    assert GeoImage(path, channels=4).read((0, 0, 9, 9)).values.shape == (4, 9, 9)


def test_another_number_of_bands_is_refused_with_the_one_it_has(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has 5 bands.*set data.channels=5"):
        GeoImage(written(tmp_path / "a.tif", BANDS), channels=3)


def test_no_other_driver_is_reached_by_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    with pytest.raises(ValueError, match="is none of GTiff"):
        GeoImage(str(tmp_path / "a.tif"), channels=1)


def test_rows_of_a_png_are_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    shape, blocks = row_blocks(str(tmp_path / "a.png"), rows=32)
    assert shape == (3, 70, 50)
    assert np.array_equal(np.concatenate(list(blocks), 1), pixels.transpose(2, 0, 1))


def test_a_palette_is_refused(tmp_path: Path) -> None:
    Image.new("P", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="palette"):
        row_blocks(str(tmp_path / "a.png"))
