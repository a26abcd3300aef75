"""A part of a Zarr has the values that were stored, in any order of its axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data.huge.zarr import ZarrImage

zarr = pytest.importorskip("zarr", reason="the extra [zarr] is not installed")
VALUES = np.random.default_rng(0).integers(0, 60000, (4, 90, 120), dtype=np.uint16)


def stored(path: Path, values: np.ndarray) -> str:
    array = zarr.create_array(
        store=str(path), shape=values.shape, chunks=(32,) * 3, dtype=values.dtype
    )
    array[:] = values
    return str(path)


@pytest.mark.parametrize("last", [False, True])
def test_a_part_of_an_array(last: bool, tmp_path: Path) -> None:
    path = stored(tmp_path / "a.zarr", np.moveaxis(VALUES, 0, 2) if last else VALUES)
    image = ZarrImage(path, channels=4)
    assert image.levels == ((120, 90),)
    assert np.array_equal(image.read((10, 20, 30, 40)).values, VALUES[:, 10:40, 20:60])


def test_the_levels_of_an_ome_zarr(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    for name, step in (("0", 1), ("1", 2)):
        values = VALUES[None, :, None, ::step, ::step]
        group.create_array(name, shape=values.shape, chunks=values.shape, dtype=values.dtype)
        group[name][:] = values
    axes = [{"name": name} for name in "tczyx"]
    group.attrs["ome"] = {
        "multiscales": [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]
    }
    image = ZarrImage(str(tmp_path / "a.zarr"), channels=4)
    assert image.levels == ((120, 90), (60, 45))
    small = image.read((5, 6, 20, 21), 1).values
    assert np.array_equal(small, VALUES[:, ::2, ::2][:, 5:25, 6:27])


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    with pytest.raises(ValueError, match="without multiscales"):
        ZarrImage(str(tmp_path / "a.zarr"), channels=1)
    with pytest.raises(ValueError, match=r"set data\.channels|one axis must have that length"):
        ZarrImage(stored(tmp_path / "b.zarr", VALUES), channels=3)
