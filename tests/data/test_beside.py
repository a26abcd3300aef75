"""Of pictures and what was made from them, one kind is the images."""

from __future__ import annotations

from pathlib import Path

import pytest
from empty_files import put

from ssl_patches.data.walk import find_images


@pytest.mark.parametrize(("pictures", "arrays", "kept"), [(1, 9, 9), (3, 3, 3), (40, 41, 40)])
def test_one_odd_picture_does_not_take_the_place_of_many_arrays(
    tmp_path: Path, pictures: int, arrays: int, kept: int
) -> None:
    put(tmp_path, *(f"{at}.png" for at in range(pictures)), *(f"{at}.npy" for at in range(arrays)))
    found = find_images(str(tmp_path))
    assert len(found.images) == kept
    assert sum(each.count for each in found.left) == pictures + arrays - kept


@pytest.mark.parametrize("folder", ["masks", "Labels", "a/annotations", "gt", "Seg"])
def test_a_folder_that_looks_like_masks_of_the_others_is_told(tmp_path: Path, folder: str) -> None:
    put(tmp_path, *(f"photos/{at}.jpg" for at in range(5)))
    put(tmp_path, *(f"{folder}/{at}.png" for at in range(5)))
    found = find_images(str(tmp_path))
    assert len(found.images) == 10
    (line,) = map(str, found.left)
    assert line.startswith(f"5 images ({folder}/0.png, ...) used as images")
    for at in range(5):
        (tmp_path / folder / f"{at}.png").rename(tmp_path / folder / f"other{at}.png")
    assert find_images(str(tmp_path)).left == []


@pytest.mark.parametrize("end", ["_mask", "-seg", "_GT", " label"])
def test_masks_beside_their_images_are_told_by_their_names(tmp_path: Path, end: str) -> None:
    put(tmp_path, *(f"a/{at}.jpg" for at in range(5)), *(f"a/{at}{end}.png" for at in range(4)))
    found = find_images(str(tmp_path))
    assert len(found.images) == 9
    (line,) = map(str, found.left)
    assert line.startswith(f"4 images (a/0{end}.png, ...) used as images")
    put(tmp_path / "b", *(f"{at}{end}.png" for at in range(4)))
    assert find_images(str(tmp_path / "b")).left == []  # nothing that they are of
