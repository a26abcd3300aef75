"""Packed images come back byte for byte; a kill costs a shard, and nothing is written over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.cli import main
from ssl_patches.data.shards import pack
from ssl_patches.data.shards.listing import list_shards
from ssl_patches.data.shards.members import read_members


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 images of 2 classes, about 2 kB each; a megabyte is taken as 1000 bytes."""
    draw = np.random.default_rng(0)
    for at in range(40):
        place = tmp_path / "images" / "ab"[at % 2] / f"{at:02}.x.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (24, 26, 3), dtype=np.uint8)).save(place)
    cut = pack._cut
    monkeypatch.setattr(pack, "_cut", lambda files, most: cut(files, most // 100))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def packed(*words: str) -> int:
    return main(["pack", "data.root=images", "output=shards", "shard_mb=1", *words])


def files(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}


def test_every_image_comes_back_with_its_bytes_label_and_side(folder: Path, capsys) -> None:
    assert packed("--json") == 0
    said = json.loads(capsys.readouterr().out)
    listing = list_shards("shards", {})
    assert (said["images"], said["shards"]) == (40, len(listing.shards))
    assert len(listing.shards) >= 8
    assert listing.classes == ["a", "b"]
    seen = {}
    for shard in listing.shards:
        table = read_members(Path(f"{shard.url}.members.npz"))
        content = Path(shard.url).read_bytes()
        for name, at, count, label in zip(
            table.name_list(), table.offsets, table.lengths, table.labels, strict=True
        ):
            assert listing.classes[label] == name[0]
            seen[name] = content[at : at + count]
    assert seen == {
        path.relative_to("images").as_posix(): path.read_bytes()
        for path in Path("images").rglob("*.png")
    }


def test_a_kill_costs_a_shard_and_the_same_bytes_come_out(folder: Path, monkeypatch) -> None:
    assert packed() == 0
    whole = files(folder / "shards")
    for path in (folder / "shards").iterdir():
        path.unlink() if path.is_file() else None
    write, written = pack._write, []

    def killed(*given):
        written.append(given)
        if len(written) == 4:
            raise KeyboardInterrupt
        return write(*given)

    monkeypatch.setattr(pack, "_write", killed)
    assert packed() == 1
    assert "shards.json" not in files(folder / "shards")
    assert packed() == 0
    assert files(folder / "shards") == whole
    assert len(written) == 4 + len([name for name in whole if name.endswith(".tar")]) - 3


def test_what_is_not_packed_is_said(folder: Path, capsys) -> None:
    (folder / "images" / "c.nef").touch()
    (folder / "images" / "lone.png").write_bytes(
        (folder / "images" / "a" / "00.x.png").read_bytes()
    )
    assert packed() == 0
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if line.startswith("images: ")]
    assert lines == [
        "images: 1 file (c.nef) not used: .nef is no format that is read here",
        "images: 1 image (lone.png) unlabelled: not at CLASS/file as the others are",
    ]


def test_other_shards_are_not_written_over(folder: Path, capsys) -> None:
    assert packed() == 0
    (folder / "images" / "a" / "new.png").write_bytes(
        (folder / "images" / "a" / "00.x.png").read_bytes()
    )
    assert packed() == 2
    assert "output=shards: holds shards of other images" in capsys.readouterr().err
    (folder / "mine").mkdir()
    (folder / "mine" / "text").write_text("mine")
    assert packed("output=mine") == 2
    assert "is not empty; set output to a new folder" in capsys.readouterr().err
    assert packed("shard_mb=0", "output=new") == 2
    assert not (folder / "new").exists()


def test_webdataset_and_datasets_read_what_was_packed(folder: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    assert packed() == 0
    names = sorted(str(path) for path in Path("shards").glob("train-*.tar"))
    samples = list(webdataset.WebDataset(names, shardshuffle=False).decode("pil"))
    assert len(samples) == sum(len(read_members(Path(f"{name}.members.npz"))) for name in names)
    assert all(sample["png"].size == (26, 24) for sample in samples)
    assert {sample["cls"] for sample in samples} == {0, 1}
