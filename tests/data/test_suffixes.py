"""The end of a name says whether an image is read, huge, or neither."""

from __future__ import annotations

from pathlib import Path

from empty_files import put

from ssl_patches.data.suffixes import HUGE, SUFFIXES, UNREAD
from ssl_patches.data.walk import find_images


def test_slides_and_zarr_are_images_where_windows_are_read_and_told_elsewhere(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a.png", "b.svs", "c.zarr/0.0", "c.zarr/inside.png")
    assert [file.path for file in find_images(str(tmp_path), huge=True).images] == [
        *("a.png", "b.svs", "c.zarr")
    ]
    plain = find_images(str(tmp_path))
    assert [file.path for file in plain.images] == ["a.png"]
    assert {each.example for each in plain.left} == {"b.svs", "c.zarr"}
    assert all("data=windows" in each.why for each in plain.left)


def test_no_suffix_is_read_and_not_read_and_all_are_lower_case() -> None:
    assert not set(SUFFIXES) & set(UNREAD)
    assert set(HUGE) <= set(UNREAD)
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in (*SUFFIXES, *UNREAD))
