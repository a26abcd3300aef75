"""Headers are read first, and a quarantine list leaves files out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_files import FILES

from ssl_patches.config.keys import files_state
from ssl_patches.data import FolderSource, ManifestSource
from ssl_patches.data.files import read_skip, write_quarantine


def test_the_list_may_be_written_by_hand_and_must_be_of_these_images(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.png\nb,c.png\n")
    assert read_skip(str(tmp_path / "list.txt"), ["a.png", "z.png"], where="data.root=x") == {
        "a.png"
    }
    with pytest.raises(
        ValueError,
        match=r"data.skip=.*none of its 2 paths .* is an image of data.root=x; leave it out",
    ):
        read_skip(str(tmp_path / "list.txt"), ["z.png"], where="data.root=x")
    with pytest.raises(ValueError, match=r"data.skip=gone.csv: cannot be read"):
        read_skip("gone.csv", ["z.png"], where="data.root=x")


def deep_folder(root: Path, count: int = 6) -> Path:
    root.mkdir()
    for at in range(count):
        picture = np.random.default_rng(at).integers(0, 4096, (12, 12)).astype(np.uint16)
        np.save(root / f"{at}.npy", picture)
    return root


def of(root: Path, **options: Any) -> FolderSource:
    return FolderSource(root=str(root), split="train", **{"image_size": 8, "channels": 1} | options)


def test_images_are_known_again_elsewhere_and_not_after_they_changed(tmp_path: Path) -> None:
    """Names and sizes are the same in all three."""
    here = deep_folder(tmp_path / "here")
    there = Path(shutil.copytree(here, tmp_path / "there", copy_function=shutil.copy))
    assert of(there).fingerprint() == of(here).fingerprint()
    for path in there.iterdir():
        np.save(path, 4095 - np.load(path))
    assert of(there).former_fingerprint() == of(here).former_fingerprint()
    assert of(there).fingerprint() != of(here).fingerprint()


def test_a_key_of_what_is_kept_changes_with_all_that_decides_it(tmp_path: Path) -> None:
    root = deep_folder(tmp_path / "a")
    first = of(root).kept_key()
    assert of(root).kept_key() == first
    found = {first, of(root, value_range=(0, 4095)).kept_key()}
    np.save(root / "0.npy", np.zeros((12, 12), np.uint16))  # the same size
    found |= {of(root).kept_key()}
    os.utime(root / "1.npy", ns=(5, 5))
    found |= {of(root).kept_key()}
    assert len(found) == 4


def test_a_key_of_what_is_kept_knows_the_labels_of_a_list(tmp_path: Path) -> None:
    root = deep_folder(tmp_path / "a")
    keys, label_keys, prints = set(), set(), set()
    for labels in ("abcabc", "abccba", "xyzxyz"):
        lines = [f"{at}.npy,{label}" for at, label in enumerate(labels)]
        (root / "list.csv").write_text("\n".join(["path,label", *lines]))
        listed = ManifestSource(
            path=str(root / "list.csv"),
            split="train",
            image_size=8,
            channels=1,
            label_column="label",
        )
        keys.add(listed.kept_key())
        label_keys.add(listed.label_key())
        prints.add(listed.fingerprint())
    assert (len(keys), len(label_keys), len(prints)) == (3, 3, 1)


def test_paths_of_any_bytes_and_formulas_come_back_from_a_quarantine_list(tmp_path: Path) -> None:
    paths = [
        "=1+1.png",
        "-a.png",
        "+b.png",
        "@c.png",
        "d,e.png",
        "'=f.png",
        "gr\udcfc.png",
        "line\n=1+1,no image\x1b[2J.png",
        "line\u2028gr\udcfc.png",
    ]
    write_quarantine(tmp_path / "list.csv", [(path, "=cut\udcfc\x1b") for path in paths])
    assert read_skip(str(tmp_path / "list.csv"), paths, where="x") == set(paths)
    content = (tmp_path / "list.csv").read_bytes()
    assert b"gr\xfc.png" in content  # as on the disk
    assert b"\x1b" not in content
    assert not any(line.startswith((b"=", b"+", b"-", b"@")) for line in content.splitlines())


def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(ValueError, match="no ordinary file"):
        read_skip(str(tmp_path / "list.csv"), ["a.png"], where="x")


@pytest.mark.parametrize("gone", [False, True])
def test_files_that_are_asked_a_folder_at_a_time_have_the_state_of_each(
    tmp_path, monkeypatch, gone
) -> None:
    names = ["b/1.png", "a/ä.png", "b/\udcff.png", "2.png", "b/c/../3.png", "../root/4.png"]
    root = tmp_path / "root"
    (root / "b" / "c").mkdir(parents=True)
    (root / "a").mkdir()
    for name in names:
        (root / name).write_bytes(FILES["rgb.png"])
    listed = "\n".join(name for name in names if name.isprintable())
    (tmp_path / "list.txt").write_text(listed, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = [
        ManifestSource(path="list.txt", root="root", split=split, image_size=8)
        for split in ("train", "val")
    ] + [FolderSource(root="root", split=split, image_size=8) for split in ("train", "val")]
    if gone:
        (root / "2.png").unlink()
        (root / "b" / "1.png").write_bytes(FILES["grey.png"])
    for source in found:
        assert source.hash_state() == files_state(source.paths)
