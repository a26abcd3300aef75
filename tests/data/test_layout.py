"""The rules by which a folder is split and labelled."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import layouts
import pytest
import torch
from noise_files import many, put, source
from small import REPOSITORY

from ssl_patches.data.folder import FolderSource
from ssl_patches.data.layout import Selection, select
from ssl_patches.data.placed import place
from ssl_patches.data.splits import side_of
from ssl_patches.data.walk import ImageFile, find_images


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
        [*many("a/{}.png", 3), *many("b/{}.png", 3), *many("{}.png", 2)],
        [*many("a/{}.png", 3), *many("b/c/{}.png", 3)],
        many("only/{}.png", 6),
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
    found = find_images(str(root))
    images, others = found.images, found.others
    assert ([file.path for file in images], others) == (["a/1.jpeg", "b/2.PNG", "link/x.png"], 1)


# --- properties of any folder


WORDS = ["train", "Training", "train2017", "valid", "val", "dev", "validation", "test", "Test_set"]
FOLDERS = ["cat", "dog", "a b", "images", "old", "masks"]


def drawn(seed: int) -> list[str]:
    """Paths of a folder as somebody may have made it: splits or not, classes or not, odd files."""
    draw = random.Random(seed)
    tops = draw.sample(WORDS, draw.randint(0, 4)) + draw.sample(FOLDERS, draw.randint(0, 3))
    below = draw.choice(
        [[""], ["cat/", "dog/"], ["cat/", "dog/", "cat/old/"], ["x/cat/", "x/dog/"]]
    )
    paths = [f"{top}/{inner}{at}.png" for top in tops for inner in below for at in range(4)]
    return sorted({*paths, *draw.choice([[], ["overview.png"], [f"{at}.png" for at in range(9)]])})


def both(
    paths: list[str], told: bool | None = None
) -> tuple[Selection, Selection, list[ImageFile]] | None:
    """The two sides of a folder; None where it is refused by a message that says what to do."""
    files = [ImageFile(path, 1) for path in paths]
    try:
        train, val = (select(files, split, split_folders=told) for split in ("train", "val"))
    except ValueError as error:
        if not re.search(r"data.root: .*(set data\.|give train/)", str(error)):
            raise
        return None
    return train, val, files


def sides(paths: list[str], told: bool | None = None) -> dict[str, tuple[str, str | None]] | None:
    found = both(paths, told)
    if found is None:
        return None
    return {
        file.path: (split, name)
        for split, part in (("train", found[0]), ("val", found[1]))
        for file, name in zip(part.files, part.names, strict=True)
    }


@pytest.mark.parametrize("told", [None, True, False])
@pytest.mark.parametrize("seed", range(60))
def test_every_image_is_on_one_side_or_told_to_be_on_none(seed: int, told: bool | None) -> None:
    found = both(drawn(seed), told)
    if found is None:
        return
    train, val, files = found
    used = [file.path for part in (train, val) for file in part.files]
    assert len(used) == len(set(used))
    unused = sum(each.count for each in train.left if each.fate == "not used")
    assert len(used) + unused == len(files), train.left
    assert [line for line in train.left if line.fate == "not used"] == [
        line for line in val.left if line.fate == "not used"
    ]
    assert sum(name is not None for name in train.names) == 0 or len(train.classes) >= 2


@pytest.mark.parametrize("seed", range(60))
def test_what_was_put_aside_is_never_trained_on(seed: int) -> None:
    found = both(drawn(seed))
    if found is None:
        return
    for file in found[0].files:
        first = next(filter(None, map(side_of, file.path.split("/")[:-1])), "train")
        assert first == "train", file.path


@pytest.mark.parametrize("odd", ["overview.png", "cat/old/x.png", "odd/deep/er/x.png"])
@pytest.mark.parametrize("kind", ["{}/{}.png", "train/{}/{}.png"])
def test_one_odd_file_changes_nothing_for_the_others(kind: str, odd: str) -> None:
    paths = [kind.format(name, at) for name in ("cat", "dog") for at in range(15)]
    if kind.startswith("train"):
        paths += [f"valid/{name}/{at}.png" for name in ("cat", "dog") for at in range(3)]
    before, after = sides(paths), sides([*paths, odd])
    assert before is not None
    assert after is not None
    assert {path: after[path] for path in before} == before
    told = both([*paths, odd])
    assert told is not None
    assert any(odd in str(line) for line in told[0].left)


@pytest.mark.parametrize("held", [word for word in WORDS if side_of(word) != "train"])
@pytest.mark.parametrize("train", ["train", "Training", "train2017"])
def test_splits_are_known_by_all_their_names(train: str, held: str) -> None:
    paths = [f"{side}/{name}/{at}.png" for side in (train, held) for name in "ab" for at in "12"]
    found = sides(paths)
    assert found is not None
    assert all(
        side == ("train" if path.startswith(f"{train}/") else "val")
        for path, (side, _) in found.items()
    )
    assert {name for _, name in found.values()} == {"a", "b"}


def test_splits_below_each_class_are_splits() -> None:
    paths = [
        f"{name}/{side}/{at}.png" for name in "ab" for side in ("train", "test") for at in "12"
    ]
    found = sides(paths)
    assert found is not None
    assert found["a/train/1.png"] == ("train", "a")
    assert found["b/test/2.png"] == ("val", "b")


@pytest.mark.parametrize("name", ["train", "test", "valid"])
def test_a_class_called_like_a_split_is_asked_about(name: str) -> None:
    paths = [f"{each}/{at}.png" for each in ("bus", "car", name) for at in range(9)]
    with pytest.raises(ValueError, match=rf"data.root: {name}/ \(9 images\) .*split_folders=false"):
        select([ImageFile(path, 1) for path in paths], "train")
    as_class, as_split = sides(paths, False), sides(paths, True)
    assert as_class is not None
    assert as_split is not None
    assert {label for _, label in as_class.values()} == {"bus", "car", name}
    if name == "train":
        assert set(as_split) == {path for path in paths if path.startswith("train")}
    else:
        assert {path for path, (side, _) in as_split.items() if side == "val"} == {
            path for path in paths if path.startswith(name)
        }


def test_what_was_put_aside_alone_is_not_divided() -> None:
    paths = [f"test/{name}/{at}.png" for name in "ab" for at in "123"]
    with pytest.raises(ValueError, match=r"all images lie in test/, which is put aside"):
        select([ImageFile(path, 1) for path in paths], "train")


def test_a_file_that_is_on_both_sides_by_links_is_refused_unless_told(tmp_path: Path) -> None:
    put(tmp_path, *many("train/{}.png", 4), "val/9.png")
    os.link(tmp_path / "train/0.png", tmp_path / "val/0.png")
    with pytest.raises(ValueError, match=r"1 files are both .*data.max_conflicts=1"):
        source(tmp_path)
    told = source(tmp_path, max_conflicts=1)
    assert names(told) == many("train/{}.png", 4)[1:]
    assert "train/0.png" in told.remarks[0]


def test_remarks_of_a_folder_name_all_that_is_not_used(tmp_path: Path) -> None:
    put(tmp_path, *many("train/a/{}.png", 3), *many("train/b/{}.png", 3), "val/a/1.png")
    put(tmp_path, "test/a/1.png", "extra/1.png")
    (tmp_path / "train/a/IMG.NEF").write_bytes(b"x")
    said = source(tmp_path).remarks
    assert len(said) == 3
    assert source(tmp_path, "val").remarks == said
    for what in ("IMG.NEF", "test/a/1.png", "extra/1.png"):
        assert sum(what in line for line in said) == 1


def test_folders_of_every_kind_are_read_as_they_were() -> None:
    """Another release that reads one otherwise trains on other images, and says so in CHANGELOG."""
    wanted = (REPOSITORY / "tests" / "fixtures" / "layouts.txt").read_text(encoding="utf-8")
    assert layouts.text() == wanted
