"""A table is divided as a list of the same files is."""

from __future__ import annotations

import os
import random

import pytest

from ssl_patches.data.index.images import TableImages
from ssl_patches.data.index.listing import list_folder
from ssl_patches.data.layout import divide, select
from ssl_patches.data.walk import find_images

WORDS = ["train", "val", "test", "cat", "dog", "a-b", "a"]


@pytest.mark.parametrize("seed", range(12))
def test_a_table_and_a_list_are_divided_the_same(tmp_path, seed) -> None:
    draw = random.Random(seed)
    words = draw.sample(WORDS, 4)
    made: list[str] = []
    for at in range(40):
        folder = "/".join(draw.choice(words) for _ in range(draw.choice([0, 1, 1, 2, 2])))
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        path = str(tmp_path / folder / f"{at}.png")
        if made and draw.random() < 0.1:
            os.link(draw.choice(made), path)
        else:
            open(path, "wb").close()
        made.append(path)
    files = find_images(str(tmp_path)).images
    table = TableImages(list_folder(str(tmp_path), channels=3))
    for split in ("train", "val"):
        for told in (None, True, False):
            for most in (0, 99):
                options = {"split_folders": told, "max_conflicts": most}
                said = []
                for way, images in ((select, files), (divide, table)):
                    try:
                        found = way(images, split, **options)
                    except ValueError as error:
                        said.append(str(error))
                        continue
                    if way is select:
                        paths = [file.path for file in found.files]
                        names = found.names
                    else:
                        paths = [table.path_of(at) for at in found.images.tolist()]
                        names = [
                            found.classes[at] if at >= 0 else None for at in found.labels.tolist()
                        ]
                    said.append([paths, names, found.classes, found.rule, found.left])
                assert said[0] == said[1]
