"""A file goes to the reader that knows it; a library that is not there is named with its extra."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.huge.open import KEPT_OPEN, Opened, Opening, file_kind, require_extras

tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    return Opening(1, None, 64, tmp_path / "kept")


def test_names_and_headers_decide_the_reader(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    tifffile.imwrite(
        tmp_path / "b.TIF", np.zeros((8, 8), np.uint8), extratags=[(34735, "H", 4, (1, 1, 0, 0))]
    )
    kinds = {"a.tif": "tiff", "b.TIF": "geo", "c.SVS": "slide", "d.zarr": "zarr", "e.png": "flat"}
    assert {name: file_kind(str(tmp_path / name)) for name in kinds} == kinds


def test_a_missing_library_is_named_with_its_extra(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"a\.svs.*pip install 'ssl-patches\[slides\]'"):
        require_extras(["a.svs"])
    with pytest.raises(ValueError, match=r"b\.zarr.*pip install 'ssl-patches\[zarr\]'"):
        require_extras(["b.zarr"])


def test_what_cannot_be_opened_is_damage(tmp_path: Path, opening: Opening) -> None:
    for name in ("a.tif", "a.png", "a.npy"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(UnreadableImage, match=name):
            opening.open(str(tmp_path / name))


def test_a_process_keeps_few_images_open_and_a_copy_opens_its_own(
    tmp_path: Path, opening: Opening
) -> None:
    paths = [str(tmp_path / f"{at}.tif") for at in range(KEPT_OPEN + 5)]
    for at, path in enumerate(paths):
        tifffile.imwrite(path, np.full((8, 8), at, np.uint8))
    opened = Opened(opening)
    for _ in range(2):
        found = [int(opened.read(path, (0, 0, 4, 4), 0).values.max()) for path in paths]
        assert found == list(range(len(paths)))
    assert len(opened._images) == KEPT_OPEN
    other = pickle.loads(pickle.dumps(opened))
    assert other.read(paths[3], (0, 0, 4, 4), 0).values.max() == 3
