"""The cache of decoded images: the same batches as without it, made once, whoever is killed or
comes second."""

from __future__ import annotations

import csv
import multiprocessing
import os
import pickle
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches.data import EmbeddedSource, FolderSource, cache
from ssl_patches.data.cache import CachedSource, folder_of
from ssl_patches.data.training_stream import PatchDataModule


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """12 images of 40 px in two classes; the third of class a is cut short, so that only decoding
    notices."""
    rng = np.random.default_rng(0)
    for at in range(12):
        folder = tmp_path / "pictures" / "ab"[at % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(
            folder / f"{at:02}.png"
        )
    cut = tmp_path / "pictures" / "a" / "04.png"
    cut.write_bytes(cut.read_bytes()[:1500])
    return tmp_path / "pictures"


def folder(root: Path, **options) -> FolderSource:
    return FolderSource(
        root=str(root), split="train", **{"image_size": 32, "max_corrupt": 0.3, **options}
    )


def cached(source, tmp_path: Path, **options) -> CachedSource:
    return CachedSource(source, **{"identity": "", "place": tmp_path / "cache", **options})


def filled(source, tmp_path: Path, *, num_workers: int = 0, **options) -> CachedSource:
    found = cached(source, tmp_path, **options)
    found.fill_cache(num_workers=num_workers)
    return found


def stream(source, *, count: int = 5, start: int = 0, num_workers: int = 0) -> list:
    data = PatchDataModule(train=source, val=None, batch_size=3, num_workers=num_workers, seed=1)
    data.start_batch = start
    return list(islice(data.train_dataloader(), count))


def same(ours, theirs) -> bool:
    pairs = [pair for both in zip(ours, theirs, strict=True) for pair in zip(*both, strict=True)]
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("size", [32, 96])  # kept with channels first, and last
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_sees_the_same_batches_with_it_and_without(
    pictures: Path, tmp_path: Path, size: int, num_workers: int
):
    plain = stream(folder(pictures, image_size=size))
    found = filled(folder(pictures, image_size=size), tmp_path, num_workers=num_workers)
    assert same(stream(found, num_workers=num_workers), plain)
    assert same(stream(found, count=3, start=2), plain[2:])  # resumed in the middle
    assert [found[at][2] for at in range(len(found))] == [
        folder(pictures, image_size=size)[at][2] for at in range(len(found))
    ]
    assert all(
        torch.equal(a, b)
        for at in range(len(found))
        for a, b in zip(found[at][:1], found.source[at][:1], strict=True)
    )


def test_until_it_is_filled_images_come_from_the_source(pictures: Path, tmp_path: Path):
    found = cached(folder(pictures), tmp_path)
    assert same(stream(found), stream(folder(pictures)))
    assert not found.folder.exists()


def test_images_are_decoded_once_and_damage_is_told_every_time(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = filled(folder(pictures), tmp_path)
    again = cached(folder(pictures), tmp_path)
    monkeypatch.setattr(FolderSource, "read", lambda *_: pytest.fail("decoded again"))
    again.fill_cache(num_workers=0)
    assert same(stream(again), stream(first))
    monkeypatch.undo()
    assert (
        [path for path, _ in again.unreadable()] == [path for path, _ in first.unreadable()] != []
    )
    with pytest.raises(ValueError, match=r"data\.max_corrupt=0\.01: 1 of"):
        filled(folder(pictures, max_corrupt=0.01), tmp_path)


def test_other_images_or_another_way_to_read_them_are_another_cache(pictures: Path, tmp_path: Path):
    def key(**options) -> str:
        return cached(folder(pictures, **options), tmp_path).folder.name

    before = key()
    assert key() == before
    assert key(load_size=36) != before
    assert key(channels=1) != before
    assert cached(folder(pictures), tmp_path, identity="value_range=[0,99]").folder.name != before
    changed = pictures / "a" / "00.png"
    os.utime(changed, ns=(1, 1))  # another picture of as many bytes
    assert key() != before


def test_labels_are_those_of_today(tmp_path: Path):
    filled(EmbeddedSource(count=8, image_size=32), tmp_path)
    source = EmbeddedSource(count=8, image_size=32)
    source.labels = source.labels + 5
    assert filled(source, tmp_path)[3][1] == int(source.labels[3])


def test_a_pickled_one_opens_its_array_again_and_does_not_carry_it(tmp_path: Path):
    found = filled(EmbeddedSource(count=64, image_size=32), tmp_path)
    sent = pickle.dumps(found)
    assert len(sent) < found.images.nbytes / 4
    assert torch.equal(pickle.loads(sent)[7][0], found[7][0])


@pytest.mark.parametrize("spoil", ["truncate", "shape", "half"])
def test_what_cannot_be_opened_is_made_again(tmp_path: Path, spoil: str):
    source = EmbeddedSource(count=8, image_size=32)
    file = filled(source, tmp_path).folder / "images.npy"
    if spoil == "truncate":
        os.truncate(file, 5000)
    elif spoil == "shape":
        np.save(file, np.zeros((8, 3, 16, 16), np.uint8))
    else:
        (file.parent / "shown.npy").unlink()
    assert torch.equal(filled(source, tmp_path)[5][0], source[5][0])


class Slow(EmbeddedSource):
    """Says when it is asked for the second image, and takes its time over each."""

    def __init__(self, asked: Any, pause: float) -> None:
        super().__init__(count=8, image_size=32)
        self.asked, self.pause = asked, pause

    def __getitem__(self, index: int) -> Any:
        if index:
            self.asked.set()
            time.sleep(self.pause)
        return super().__getitem__(index)


def builder(tmp_path: Path, pause: float) -> Any:
    """A process that has begun to decode."""
    context = multiprocessing.get_context("fork")
    asked = context.Event()
    process = context.Process(target=filled, args=(Slow(asked, pause), tmp_path))
    process.start()
    assert asked.wait(60)
    return process


def test_a_killed_builder_leaves_nothing_that_counts_and_the_next_one_goes_on(tmp_path: Path):
    source = EmbeddedSource(count=8, image_size=32)
    process = builder(tmp_path, pause=60)
    process.kill()
    process.join()
    found = cached(source, tmp_path)
    left = found.folder.with_name(f".{found.folder.name}.partial")
    assert left.exists()
    assert not found.folder.exists()
    found.fill_cache(num_workers=0)
    assert not left.exists()
    assert all(torch.equal(found[at][0], source[at][0]) for at in range(8))


def test_of_two_builders_one_works_and_the_other_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    process = builder(tmp_path, pause=0.2)
    monkeypatch.setattr(cache, "WAIT", 0.05)
    monkeypatch.setattr(
        CachedSource, "_make", lambda *_: pytest.fail("built beside another builder")
    )
    found = filled(EmbeddedSource(count=8, image_size=32), tmp_path)
    process.join()
    assert process.exitcode == 0
    assert f"process {process.pid}" in capsys.readouterr().err
    assert torch.equal(found[5][0], EmbeddedSource(count=8, image_size=32)[5][0])


def test_an_interrupted_build_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    found = cached(EmbeddedSource(count=8, image_size=32), tmp_path)
    monkeypatch.setattr(cache.tqdm, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        found.fill_cache(num_workers=0)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".claims"]


def test_too_large_a_cache_is_refused_and_the_remedy_works(tmp_path: Path):
    source = EmbeddedSource(count=64, image_size=32)  # 196,608 bytes
    with pytest.raises(
        ValueError, match=r"data\.cache_max_gb=0\.0001: 64 images of 3 x 32 x 32 bytes are 0\.0001"
    ) as refusal:
        cached(source, tmp_path, max_gb=1e-4)
    assert "set data.cache_max_gb=0.001, a smaller image_size, or data.cache=false" in str(
        refusal.value
    )
    cached(source, tmp_path, max_gb=0.001)
    with pytest.raises(
        ValueError, match=r"data\.cache_max_gb=0: must be more than 0; set data\.cache_max_gb=20"
    ):
        cached(source, tmp_path, max_gb=0)


def test_a_folder_that_cannot_be_one_and_a_full_disk_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = EmbeddedSource(count=8, image_size=32)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"is a file; set data\.cache to a folder"):
        cached(source, tmp_path, place=tmp_path / "file" / "cache")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(
        ValueError, match=r"1e-06 GB are free there; set data\.cache to a folder on a larger disk"
    ):
        cached(source, tmp_path)


def test_a_folder_that_may_not_be_written_is_refused_before_anything_is_made(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache.os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(ValueError, match=r"data.cache=.*may not be written; set data.cache to"):
        cached(folder(pictures), tmp_path)
    monkeypatch.undo()
    filled(folder(pictures), tmp_path)
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    filled(folder(pictures), tmp_path)  # what is there is read


def test_true_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder_of(True) == tmp_path / "ssl_patches" / "images"
    assert folder_of(str(tmp_path / "own")) == tmp_path / "own"


def test_a_run_with_a_cache_has_the_losses_of_the_run_without(only_training, tmp_path: Path):
    plain = only_training(tmp_path / "plain")
    kept = only_training(tmp_path / "cached", f"data.cache={tmp_path / 'cache'}")
    assert (plain / "metrics.csv").read_text().splitlines()[0].count(",") > 1
    assert _losses(plain) == _losses(kept)
    assert (
        len([path for path in (tmp_path / "cache").iterdir() if (path / "images.npy").is_file()])
        == 2
    )  # train and val
    only_training(
        tmp_path / "cached", "resume=true", "data.cache=false", "budget.images=96"
    )  # it is no other run without


def _losses(run: Path) -> list[str]:
    with (run / "metrics.csv").open(newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]
