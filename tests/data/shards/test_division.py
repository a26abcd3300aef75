"""Classes of shards are those that each shard means, in one order on both sides."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from shard_files import write_tar

from ssl_patches.data import ShardSource
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.placed import place
from ssl_patches.data.shards.division import (
    kept_of,
    named_labels,
    on_side,
    said_of_labels,
    sides_of_shards,
)
from ssl_patches.data.shards.listing import Shard
from ssl_patches.data.shards.members import Members


def table(names: list[str], labels: list[int], **more: object) -> Members:
    count = len(labels)
    zeros = np.zeros(count, np.int64)
    given = {"offsets": zeros, "lengths": zeros, "places": zeros.astype(np.uint8), "names": b""}
    return Members(labels=np.array(labels, np.int64), classes=names, **{**given, **more})


@pytest.mark.parametrize("seed", range(12))
def test_a_label_keeps_its_name_whatever_the_order_in_its_shard(seed: int) -> None:
    draw = random.Random(seed)
    names = ["ant", "bee", "cat", "dog"]
    tables, meant = [], []
    for _ in range(4):
        own = draw.sample(names, draw.randint(1, 4))
        labels = [draw.randrange(-1, len(own)) for _ in range(6)]
        tables.append(table(own, labels))
        meant.append([None if at < 0 else own[at] for at in labels])
    train, test = tables[:2], tables[2:]
    found, classes = named_labels(train, [], lambda: test, "w")
    others, same = named_labels(test, [], lambda: train, "w")
    if any(each.labels.max() >= 0 for each in tables):
        assert set(classes) == set(same)
    said = [[None if at < 0 else classes[at] for at in each.tolist()] for each in (*found, *others)]
    assert said == meant


def test_names_and_numbers_do_not_mix() -> None:
    with pytest.raises(ValueError, match="1 shards have numbers as labels and 1 have names"):
        named_labels([table(["a"], [0]), table([], [3])], [], list, "data.path=x")
    with pytest.raises(ValueError, match=r"label 'b' is no class of classes\.txt"):
        named_labels([table(["b"], [0])], ["a"], list, "data.path=x")
    with pytest.raises(ValueError, match="has the label 1 and names 1 classes"):
        named_labels([table(["b"], [1])], [], list, "data.path=x")


def test_numbers_have_the_names_of_the_list() -> None:
    _, classes = named_labels([table([], [0, 3])], ["a", "b"], list, "w")
    assert classes == ["a", "b", "2", "3"]


def test_shards_on_no_side_are_told() -> None:
    shards = [Shard(f"{name}-0.tar", 1, "") for name in ("train", "val", "test", "x")]
    found = sides_of_shards(shards, "train")
    assert [shard.name for shard in found.shards] == ["train-0.tar"]
    assert list(map(str, found.left)) == [
        "2 shards (test-0.tar, ...) not used: the others are named train and val"
    ]
    assert sides_of_shards(shards[:1] + shards[3:], "val").left[0].example == "x-0.tar"
    assert not sides_of_shards(shards[1:2] + shards[3:], "val").left


def test_contradictions_are_refused_above_what_is_allowed() -> None:
    tables = [table([], [-1, 0], contradict=["d/1"]), table([], [0])]
    with pytest.raises(ValueError, match=r"x: 1 images have two labels that differ \(d/1\)"):
        said_of_labels(tables, [], 0, "data.path=x")
    assert said_of_labels(tables, [], 1, "w") == ["1 images have two labels that differ (d/1)"]


def test_what_each_shard_leaves_out_is_counted_together() -> None:
    left = [LeftOut(2, "images", "a", "why"), LeftOut(3, "images", "b", "why")]
    tables = [table([], [0], left=[each]) for each in left]
    assert said_of_labels(tables, [], 0, "w") == ["5 images (a, ...) not used: why"]


@pytest.mark.parametrize("text", [True, False])
def test_text_labels_are_classes_on_both_sides(tmp_path: Path, text: bool) -> None:
    def sample(at: int, label: str) -> dict[str, bytes]:
        note = {"1.cls": label.encode()} if text else {"1.json": json.dumps({"label": label})}
        ((ending, said),) = note.items()
        said = said if isinstance(said, bytes) else said.encode()
        return {f"{at}.png": b"pixels", f"{at}{ending[1:]}": said}

    for side, names in (("train", "zebra yak"), ("val", "yak ant")):
        files: dict[str, bytes] = {}
        for at, label in enumerate(names.split() * 3):
            files |= sample(at, label)
        write_tar(tmp_path / f"{side}-0.tar", files)
    train, val = (
        ShardSource(path=str(tmp_path), split=split, image_size=8, shard_dir=str(tmp_path / "kept"))
        for split in ("train", "val")
    )
    assert train.classes == val.classes == ["ant", "yak", "zebra"]
    assert train.labels.tolist() == [2, 1] * 3
    assert val.labels.tolist() == [1, 0] * 3


@pytest.mark.parametrize("part", [None, (0, 20), (20, 100)])
def test_a_damaged_image_is_told_on_the_side_that_it_would_be_on(part) -> None:
    names = [f"{at}.png" for at in range(40)]
    places = np.array([place(name) for name in names], np.uint8)
    chosen = kept_of(table([], [-1] * 40, places=places), part).tolist()
    assert [at for at, name in enumerate(names) if on_side(name, part)] == chosen
