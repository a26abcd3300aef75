"""A mask holds class ids, as they are stored: neither colours nor numbers of objects."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data import look, mask_files
from ssl_patches.data.mask_files import found_ids, ids_of


def test_a_coloured_mask_is_refused_rather_than_read_as_grey(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="colours, not class ids"):
        ids_of(str(tmp_path / "a.png"))


@pytest.mark.parametrize(("most", "instances"), [(9, False), (60, True), (300, True)])
def test_masks_that_number_objects_are_no_classes(
    tmp_path: Path, most: int, instances: bool
) -> None:
    for at in range(4):
        for side in ("images", "masks"):
            (tmp_path / "train" / side).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "train" / "images" / f"{at}.png")
        ids = np.arange(400).reshape(20, 20) % (most - at)
        Image.fromarray(ids.astype(np.uint16)).save(tmp_path / "train" / "masks" / f"{at}.png")
    if not instances:
        assert found_ids(str(tmp_path / "train")) == set(range(most))
        return
    with pytest.raises(ValueError, match=r"data.root: the masks of .* number the objects"):
        found_ids(str(tmp_path / "train"))


@pytest.mark.parametrize("racy", [0, look.RACY])
def test_ids_are_looked_up_once_and_again_where_a_mask_was_written(
    tmp_path: Path, monkeypatch, racy: int
) -> None:
    """Also one that is written in place with its old size and date."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(look, "RACY", racy)
    for side in ("images", "masks"):
        (tmp_path / side).mkdir()
        for at in range(3):
            Image.new("L", (8, 8), at).save(tmp_path / side / f"{at}.bmp")
    read, seen = mask_files.ids_of, list[str]()
    monkeypatch.setattr(mask_files, "ids_of", lambda path: seen.append(path) or read(path))
    time.sleep(0.01)  # a tick of the file system's clock
    assert [found_ids(str(tmp_path)) for _ in range(2)] == [{0, 1, 2}] * 2
    assert len(seen) == (6 if racy else 3)  # what was just written is not believed
    mask = tmp_path / "masks" / "2.bmp"
    before = mask.stat()
    Image.new("L", (8, 8), 7).save(mask)
    os.utime(mask, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found_ids(str(tmp_path)) == {0, 1, 7}
