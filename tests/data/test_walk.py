"""Every file below a folder is an image, or counted with the reason why not."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from empty_files import names, put

from ssl_patches.data.suffixes import SUFFIXES, UNREAD
from ssl_patches.data.walk import find_images


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
