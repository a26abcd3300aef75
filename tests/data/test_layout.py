"""The rules by which a folder is split and labelled."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches.data.folder import FolderSource
from ssl_patches.data.layout import find_images, place


def put(root: Path, *paths: str, side: int = 12) -> None:
    """Images of noise, each a different one."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(path.encode()))
        Image.fromarray(rng.integers(0, 256, (side, side + 3, 3), dtype=np.uint8)).save(root / path)


def many(pattern: str, count: int) -> list[str]:
    return [pattern.format(i) for i in range(count)]


def source(root: Path, split: str = "train", **options: object) -> FolderSource:
    return FolderSource(**{"root": str(root), "split": split, "image_size": 8, **options})


def names(data: FolderSource) -> list[str]:
    return [os.path.relpath(path, data.root).replace(os.sep, "/") for path in data.paths]


@pytest.mark.parametrize("held", ["val", "test"])
def test_train_and_val_folders_are_the_splits_and_share_class_numbers(
    tmp_path: Path, held: str
) -> None:
    put(
        tmp_path,
        "train/cat/0.png",
        "train/ant/0.png",
        "train/bee/1.png",
        f"{held}/cat/7.png",
        f"{held}/bee/8.png",
    )
    train, val = source(tmp_path), source(tmp_path, "val")
    assert (names(train), train.labels.tolist()) == (
        ["train/ant/0.png", "train/bee/1.png", "train/cat/0.png"],
        [0, 1, 2],
    )
    assert (names(val), val.labels.tolist()) == ([f"{held}/bee/8.png", f"{held}/cat/7.png"], [1, 2])
    assert train.classes == val.classes == ["ant", "bee", "cat"]
    assert train.labels.dtype == torch.int64
    assert f"train/ and {held}/" in val.split_rule


def test_val_is_preferred_to_test(tmp_path: Path) -> None:
    put(tmp_path, "train/a.png", "val/b.png", "test/c.png")
    assert names(source(tmp_path, "val")) == ["val/b.png"]


def test_a_flat_labelled_folder_is_split_80_to_20_by_the_rule_it_states(tmp_path: Path) -> None:
    put(tmp_path, *many("ant/{}.png", 60), *many("bee/{}.png", 60))
    train, val = source(tmp_path), source(tmp_path, "val")
    assert "sha256" in train.split_rule
    assert "< 20" in train.split_rule
    assert set(names(val)) == {path for path in names(train) + names(val) if place(path) < 20}
    assert len(set(names(train)) | set(names(val))) == len(train) + len(val) == 120
    assert 12 <= len(val) <= 36
    assert set(val.labels.tolist()) == {0, 1}


def test_the_rule_is_pinned_and_uniform() -> None:
    """Another machine, another release: the same images are held out."""
    assert [place(path) for path in ("a.png", "cat/0001.jpg", "ä/ö.png")] == [45, 49, 43]
    assert abs(np.mean([place(f"{i}.jpg") < 20 for i in range(5000)]) - 0.2) < 0.02


def test_adding_images_moves_none_to_the_other_side(tmp_path: Path) -> None:
    put(tmp_path, *many("x/{}.png", 40))
    before = set(names(source(tmp_path, "val")))
    put(tmp_path, *many("y/z/{}.png", 40))
    after = set(names(source(tmp_path, "val")))
    assert {path for path in after if path.startswith("x/")} == before


@pytest.mark.parametrize(
    "paths",
    [
        many("{}.png", 6),
        many("a/b/{}.png", 6),
        [*many("a/{}.png", 3), *many("b/{}.png", 3), "c.png"],
        [*many("a/{}.png", 3), *many("b/c/{}.png", 3)],
        many("only/{}.png", 6),
        [*many("val/{}.png", 3), *many("test/{}.png", 3)],
        [*many("train/{}.png", 3), "val/9.png"],
        [*many("train/a/{}.png", 3), "train/9.png", "val/9.png"],
    ],
)
def test_any_other_nesting_is_unlabelled(tmp_path: Path, paths: list[str]) -> None:
    put(tmp_path, *paths)
    for split in ("train", "val"):
        data = source(tmp_path, split)
        assert (data.classes, set(data.labels.tolist())) == ([], {-1})
        assert data.split_rule.startswith("unlabelled")


def test_unlabelled_images_are_trained_on_but_for_a_twentieth(tmp_path: Path) -> None:
    put(tmp_path, *many("{}/deep/er.png", 200))
    train, val = source(tmp_path), source(tmp_path, "val")
    assert set(names(val)) == {path for path in names(train) + names(val) if place(path) < 5}
    assert len(train) + len(val) == 200


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_small_folder_leaves_no_side_empty(tmp_path: Path, count: int, labelled: bool) -> None:
    put(
        tmp_path,
        *(
            many("a/{}.png", count) + many("b/{}.png", count)
            if labelled
            else many("{}.png", count + 1)
        ),
    )
    assert len(source(tmp_path)) > 0
    assert len(source(tmp_path, "val")) > 0


def test_train_alone_is_divided_like_a_flat_folder(tmp_path: Path) -> None:
    put(tmp_path, *many("train/a/{}.png", 30), *many("train/b/{}.png", 30))
    train, val = source(tmp_path), source(tmp_path, "val")
    assert not set(names(train)) & set(names(val))
    assert train.classes == val.classes == ["a", "b"]
    assert set(names(val)) == {
        path for path in names(train) + names(val) if place(path.removeprefix("train/")) < 20
    }


def test_unlabelled_training_images_may_have_a_labelled_val(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "val/a/1.png", "val/b/1.png")
    assert source(tmp_path).labels.tolist() == [-1]
    assert source(tmp_path, "val").labels.tolist() == [0, 1]


def test_a_class_unknown_to_train_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/zebra/1.png")
    with pytest.raises(ValueError, match="val/zebra is a class that train/ has not"):
        source(tmp_path, "val")


def test_masks_beside_images_are_not_trained_on(tmp_path: Path) -> None:
    put(tmp_path, "train/images/1.png", "train/masks/1.png", "val/images/2.png", "val/masks/2.png")
    train = source(tmp_path)
    assert (names(train), train.classes) == (["train/images/1.png"], [])
    put(tmp_path, "other/masks/1.png", "other/faces/1.png")
    assert source(tmp_path / "other").classes == ["faces", "masks"]


def test_hidden_files_are_ignored_others_counted_links_followed_and_loops_left(
    tmp_path: Path,
) -> None:
    put(tmp_path / "far", "x.png")
    root = tmp_path / "root"
    put(root, "b/2.PNG", "a/1.jpeg", ".cache/3.png", "a/._1.jpeg")
    (root / "a" / "notes.txt").write_text("no image")
    (root / "link").symlink_to(tmp_path / "far")
    (root / "a" / "loop").symlink_to(root)
    images, others = find_images(str(root))
    assert ([file.path for file in images], others) == (["a/1.jpeg", "b/2.PNG", "link/x.png"], 1)
