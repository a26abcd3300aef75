"""``doctor`` says what is in a folder and what is broken, and what it writes and suggests can be
used as it stands."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.data import FolderSource
from ssl_patches.data import build as build_data
from ssl_patches.data.module import ordered_items
from ssl_patches.data.training_stream import PatchDataModule

RNG = np.random.default_rng(0)


def put(path: Path, pixels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(
        RNG.integers(0, 256, (40, 48, 3), dtype=np.uint8) if pixels is None else pixels
    ).save(path)
    return path


def huge(path: Path) -> None:
    """A PNG of 100,000 x 100,000 pixels by its header, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """20 sound images in two classes (one RGBA, one grey), 3 damaged ones, 4 copies and a text."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "images"
    for side, count in (("train", 8), ("val", 2)):
        for kind in "ab":
            for at in range(count):
                put(root / side / kind / f"{at}.png")
    put(root / "train" / "a" / "0.png", RNG.integers(0, 256, (40, 48, 4), dtype=np.uint8))
    put(root / "train" / "a" / "1.png", RNG.integers(0, 256, (40, 48), dtype=np.uint8))
    cut = put(root / "train" / "a" / "cut.png")
    cut.write_bytes(cut.read_bytes()[:-300])
    (root / "train" / "b" / "text.jpg").write_text("no image")
    huge(root / "train" / "b" / "huge.png")
    for original, copy in (
        ("train/a/2", "train/a/2copy"),
        ("train/a/3", "train/b/3copy"),
        ("val/a/0", "train/a/0val"),
    ):
        shutil.copy(root / f"{original}.png", root / f"{copy}.png")
    shutil.copy(root / "val/a/0.png", root / "val/a/0again.png")
    (root / "notes.txt").write_text("x")
    return root


def doctor(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main(["doctor", "num_workers=0", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_mixed_folder_is_told_in_full_and_the_list_leaves_out_just_the_bad(
    mixed: Path, capsys, tmp_path: Path
) -> None:
    found = doctor(capsys, "data.root=images", "quarantine=quarantine.csv")
    assert (found["images"], found["other_files"], found["classes"]) == (27, 1, 2)
    assert found["modes"] == {
        "RGB": 23,
        "unreadable": 2,
        "RGBA": 1,
        "L": 1,
    }  # of the one cut short the header is sound
    assert found["shorter_side"] == {"least": 40, "median": 40, "most": 40}
    reasons = {row["path"]: row["reason"] for row in found["damaged"]}
    assert set(reasons) == {"train/a/cut.png", "train/b/text.jpg"}
    (huge,) = found["huge"]
    assert huge["path"] == "train/b/huge.png"
    assert "data=windows" in huge["reason"]
    assert found["duplicates"] == [
        ["train/a/2.png", "train/a/2copy.png"],
        ["train/a/3.png", "train/b/3copy.png"],
        ["val/a/0.png", "val/a/0again.png", "train/a/0val.png"],  # the held-out one is kept
    ]
    assert (found["duplicates_across_splits"], found["duplicates_across_classes"]) == (1, 1)
    assert found["images_per_second_per_core"] > 10
    assert (found["train"], found["val"]) == (16, 4)

    with (tmp_path / "quarantine.csv").open() as file:
        listed = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert set(listed) == set(reasons) | {
        path for group in found["duplicates"] for path in group[1:]
    }
    assert listed["train/a/0val.png"] == "copy of val/a/0.png"
    train, val = (
        FolderSource(
            root="images", split=split, image_size=32, skip="quarantine.csv", max_corrupt=0.0
        )
        for split in ("train", "val")
    )
    assert (len(train), len(val)) == (16, 4)
    assert "5 skipped" in train.split_rule
    assert [image.shape for image, _, _ in train] == [(3, 40, 40)] * 16


def test_a_folder_of_huge_images_is_told_which_source_reads_it(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slides").mkdir()
    huge(tmp_path / "slides" / "a.png")
    (tmp_path / "slides" / "b.svs").write_bytes(b"")
    found = doctor(capsys, "data.root=slides")
    assert [row["path"] for row in found["huge"]] == ["a.png", "b.svs"]
    assert found["damaged"] == []
    assert found["settings"].startswith("ssl-patches pretrain data=windows data.root=slides")
    with pytest.raises(ValueError, match=r"data.root=slides: 1 images.*data=windows"):
        FolderSource(root="slides", split="train", image_size=32, split_folders=False)


def test_deep_files_have_their_range_and_channels_suggested(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stacks").mkdir()
    stack = np.linspace(0, 4095, 5 * 40 * 40).reshape(5, 40, 40).astype(np.uint16)
    for at in range(8):
        np.save(tmp_path / "stacks" / f"{at}.npy", stack * (at + 1) // 8)
    found = doctor(capsys, "data.root=stacks")
    assert (found["value_range"], found["channels"]) == ([0, 4095], {"5": 8})
    words = shlex.split(found["settings"])[2:]
    assert {
        "data.channels=5",
        "data.value_range=[0,4095]",
        "data.statistics=measured",
        "experiment=microscopy",
    } <= set(words)
    cfg = config.request("pretrain", words, supplied=SUPPLIED, schema=PRETRAIN)
    assert build_data.source(cfg, "train", whole=True)[0][0].shape == (5, 96, 96)


@pytest.mark.parametrize(("depth", "expected"), [(np.uint8, None), (np.uint16, [0.0, 900.0])])
def test_grey_pictures_are_one_channel(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, depth: type, expected
) -> None:
    monkeypatch.chdir(tmp_path)
    for at in range(6):
        values = RNG.integers(0, 250, (40, 40)).astype(depth)
        values[0, 0], values[0, 1] = 0, 900 if depth is np.uint16 else 200
        put(tmp_path / "grey" / f"{at}.png", values)
    found = doctor(capsys, "data.root=grey")
    assert (found["value_range"], found["channels"]) == (expected, {"1": 6})
    assert "data.channels=1" in found["settings"]


def test_bad_requests_are_refused_and_nothing_is_written_over(
    mixed: Path, capsys, tmp_path: Path
) -> None:
    def refused(*words: str) -> str:
        capsys.readouterr()
        assert main(["doctor", *words]) == 2
        return capsys.readouterr().err

    assert "data.root: missing; give data.root=DIR" in refused()
    assert "must be a folder of images, but does not exist; set data.root=DIR" in refused(
        "data.root=nowhere"
    )
    assert "did you mean 'quarantine'" in refused("data.root=images", "quarantin=x")
    assert "num_workers=-1" in refused("data.root=images", "num_workers=-1")
    assert "there is no folder" in refused("data.root=images", "quarantine=a/b.csv")
    (tmp_path / "mine.csv").write_text("my,own\n")
    assert "mine.csv: exists already; set quarantine=FILE" in refused(
        "data.root=images", "quarantine=mine.csv", "overwrite=true"
    )
    assert (tmp_path / "mine.csv").read_text() == "my,own\n"
    words = ["data.root=images", "num_workers=0", "quarantine=bad.csv"]
    assert main(["doctor", *words]) == 0
    assert "set overwrite=true to replace it" in refused(*words)
    assert main(["doctor", *words, "overwrite=true"]) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_ordered_items_are_all_items_in_order(workers: int) -> None:
    assert list(ordered_items([{"n": at} for at in range(37)], num_workers=workers)) == [
        {"n": at} for at in range(37)
    ]


def test_a_run_goes_on_in_the_middle_of_an_epoch_with_other_workers_and_damaged_files(
    mixed: Path,
) -> None:
    """Exact resume without a loader state: batch n is the same pixels, whoever loads it and
    wherever the run was cut."""

    def batches(workers: int, start: int, count: int) -> list:
        source = FolderSource(root="images", split="train", image_size=32, max_corrupt=0.5)
        data = PatchDataModule(train=source, val=None, batch_size=7, num_workers=workers, seed=3)
        data.start_batch = start
        return [batch for _, batch in zip(range(count), data.train_dataloader(), strict=False)]

    unbroken = batches(0, 0, 7)  # 20 files whose header can be read: epochs end within batches
    for start, workers in ((1, 2), (4, 1)):
        for batch, expected in zip(
            batches(workers, start, 7 - start), unbroken[start:], strict=True
        ):
            assert all(torch.equal(*parts) for parts in zip(batch, expected, strict=True))
    assert not torch.equal(unbroken[0].index, unbroken[3].index)
