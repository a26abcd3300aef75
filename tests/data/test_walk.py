"""Every file below a folder is an image, or counted with the reason why not."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from ssl_patches.data.walk import (
    LEAVINGS,
    PICTURE_MARK,
    SUFFIXES,
    UNREAD,
    LeftOut,
    find_images,
    said,
)
from ssl_patches.training.figures.page import Column, save_page


def put(root: Path, *paths: str) -> None:
    """Files without content: nothing is opened to find them."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def names(root: Path) -> list[str]:
    return [file.path for file in find_images(str(root)).images]


@pytest.mark.parametrize("seed", range(8))
def test_every_image_is_found_or_counted(tmp_path: Path, seed: int) -> None:
    """Folders are drawn: nested ones, leavings, masks beside images, formats that are not read."""
    draw = random.Random(seed)
    own = ["", "a/", "a/b/", "c d/e/", "images/"]
    aside = ["__MACOSX/a/", "c d/@eaDir/", "masks/"]
    suffixes = [suffix for suffix in SUFFIXES if suffix != ".npy"]
    paths = {f"{draw.choice(own + aside)}{at}{draw.choice(suffixes)}" for at in range(60)}
    paths |= {f"{draw.choice(own)}._{at}{draw.choice(suffixes)}" for at in range(5)}
    paths |= {f"{draw.choice(own)}x{at}{draw.choice(UNREAD)}" for at in range(20)}
    paths |= {"images/0.png"}
    put(tmp_path, *paths, "notes.txt", "a/data.csv")
    found = find_images(str(tmp_path))
    assert len(found.images) + sum(each.count for each in found.left) == len(paths)
    assert all(file.path.startswith(tuple(own[1:])) for file in found.images if "/" in file.path)
    assert [file.path for file in found.images] == sorted(file.path for file in found.images)
    assert all(each.example in paths for each in found.left)


def test_what_we_and_others_leave_is_never_an_image(tmp_path: Path) -> None:
    before = ["cat/1.png", "dog/2.png"]
    put(tmp_path, *before)
    put(tmp_path, "dry_run.png", "dry_run-2.png", *(f"cat/{name}/1.png" for name in LEAVINGS))
    put(tmp_path, "runs/one/config.yaml", "runs/one/checkpoints/last.ckpt")
    put(tmp_path, "runs/one/figures/jigsaw.png", "export/ssl_patches.json", "export/x.png")
    put(tmp_path, "kept/about.json", "kept/images.npy", "cat/._1.png", ".git/logo.png")
    assert names(tmp_path) == before
    ours = next(each for each in find_images(str(tmp_path)).left if "ssl-patches" in each.why)
    assert ours.count == 5


def test_our_figures_say_that_they_are_ours_and_others_of_that_name_are_images(
    tmp_path: Path,
) -> None:
    import torch

    save_page(tmp_path / "health.png", [Column("x", torch.zeros(1, 3, 4, 4))], "title")
    put(tmp_path, "a/health.png")
    assert names(tmp_path) == ["a/health.png"]
    assert b"Software\0ssl-patches" in (tmp_path / "health.png").read_bytes()[:256]
    assert set(PICTURE_MARK) == {"Software"}


@pytest.mark.parametrize(("pictures", "arrays", "kept"), [(1, 9, 9), (3, 3, 3), (40, 41, 40)])
def test_one_odd_picture_does_not_take_the_place_of_many_arrays(
    tmp_path: Path, pictures: int, arrays: int, kept: int
) -> None:
    put(tmp_path, *(f"{at}.png" for at in range(pictures)), *(f"{at}.npy" for at in range(arrays)))
    found = find_images(str(tmp_path))
    assert len(found.images) == kept
    assert sum(each.count for each in found.left) == pictures + arrays - kept


def test_hidden_images_are_told_and_hidden_folders_not_entered(tmp_path: Path) -> None:
    put(tmp_path, "1.png", ".2.png", ".old/3.png", ".ipynb_checkpoints/1-checkpoint.png")
    found = find_images(str(tmp_path))
    assert names(tmp_path) == ["1.png"]
    assert {(each.what, each.example) for each in found.left} == {
        ("images", ".2.png"),
        ("hidden folders", ".old/"),
    }


def test_two_names_of_one_file_are_known(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "3.png")
    os.link(tmp_path / "1.png", tmp_path / "2.png")
    first, second, third = find_images(str(tmp_path)).images
    assert first.file == second.file != third.file


def test_remarks_are_short() -> None:
    lines = said([LeftOut(2, "images", f"{at}.png", "why") for at in range(20)])
    assert len(lines) == 13
    assert lines[0] == "2 images (0.png, ...) not used: why"
    assert "8 more" in lines[-1]


@pytest.mark.parametrize("folder", ["masks", "Labels", "a/annotations"])
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
