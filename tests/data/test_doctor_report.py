"""A report is a page for people and a command to paste."""

from __future__ import annotations

import json
import shlex
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.data import build as build_data

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


def test_the_settings_can_be_pasted_and_fit(mixed: Path, capsys) -> None:
    found = doctor(capsys, "data.root=images", "quarantine=quarantine.csv")
    program, command, *words = shlex.split(found["settings"])
    assert (program, command) == ("ssl-patches", "pretrain")
    cfg = config.request("pretrain", words, supplied=SUPPLIED, schema=PRETRAIN)
    assert (cfg["image_size"], cfg["data"]["batch_size"], cfg["data"]["skip"]) == (
        32,
        4,
        "quarantine.csv",
    )
    assert cfg["data"]["num_workers"] == 1
    assert "microscopy" not in found["settings"]
    assert len(build_data.source(cfg, "train", whole=False)) == 16


def test_people_get_a_page_and_a_clean_folder_no_list(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for at in range(8):
        put(tmp_path / "fine" / f"{at}.png")
    capsys.readouterr()
    assert main(["doctor", "data.root=fine", "num_workers=2"]) == 0
    said = capsys.readouterr()
    assert "8 images and 0 other files in fine" in said.out
    assert said.out.splitlines()[-1].startswith(
        "ssl-patches pretrain data=folder data.root=fine experiment=small_photographs"
    )
    assert "experiment=small_photographs  small images (40 px)" in said.out
    assert not (tmp_path / "quarantine.csv").exists()


@pytest.mark.parametrize("sides", [(0, 0), (3, 1), (11, 0), (12, 0), (0, 4), (9, 3)])
def test_the_line_works_however_much_is_damaged_and_there_is_none_where_nothing_is_left(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, sides: tuple[int, int]
) -> None:
    """12 images of train and 4 of val, some of them damaged."""
    monkeypatch.chdir(tmp_path)
    for side, bad, count in (("train", sides[0], 12), ("val", sides[1], 4)):
        for at in range(count):
            path = put(tmp_path / "x" / side / f"{at}.png")
            if at < bad:
                path.write_bytes(path.read_bytes()[: 200 if at % 2 else 9])
    found = doctor(capsys, "data.root=x")
    if sides in {(12, 0), (0, 4)}:
        assert (found["settings"], found["chosen"]) == ("", [])
        assert main(["doctor", "data.root=x", "num_workers=0"]) == 0
        side = "train" if sides[0] else "val"
        assert f"nothing to run: no image of {side} can be read" in capsys.readouterr().out
        return
    words = shlex.split(found["settings"])[2:]
    cfg = config.request("pretrain", words, supplied=SUPPLIED, schema=PRETRAIN)
    for split, count in (("train", 12 - sides[0]), ("val", 4 - sides[1])):
        source = build_data.source(cfg, split, whole=False)
        assert len({source[at][2] for at in range(len(source))}) == count
