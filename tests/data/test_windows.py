"""Windows of huge images are items like any: the same from any worker, with label and box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches.data import WindowSource
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.training_stream import PatchDataModule

tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(0)


def picture(height: int = 150, width: int = 210) -> np.ndarray:
    """Coarse texture; the left 64 columns are white, as glass is."""
    cells = RNG.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    pixels = np.kron(cells, np.ones((8, 8, 1), np.uint8))[:height, :width]
    pixels[:, :64] = 255
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for side, name in (("train", "a/1"), ("train", "b/2"), ("val", "a/3"), ("val", "b/4")):
        place = tmp_path / "images" / side / f"{name}.tif"
        place.parent.mkdir(parents=True, exist_ok=True)
        options = {"tile": (32, 32), "compression": "zlib", "photometric": "rgb"}
        tifffile.imwrite(place, picture(), **options)
    return tmp_path / "images"


def source(folder: Path, split: str = "train", **options: object) -> WindowSource:
    given = {"root": str(folder), "split": split, "image_size": 32, "window": 64, "load_size": 64}
    return WindowSource(**{**given, "unpacked_dir": str(folder.parent / "kept"), **options})


def test_an_item_is_a_window_with_the_label_of_its_image(folder: Path) -> None:
    train = source(folder)
    assert (train.classes, len(train), len(train.boxes)) == (["a", "b"], 18, 18)
    for at in range(len(train)):
        pixels, label, index = train[at]
        y, x, h, w = train.boxes[at]
        whole = tifffile.imread(folder / train.known_as[at])
        assert index == at
        assert label == "ab".index(train.known_as[at].split("/")[1])
        assert np.array_equal(pixels.permute(1, 2, 0), whole[y : y + h, x : x + w])
    assert "6 of 24 left out as empty" in train.remarks[0]


def test_windows_of_an_image_never_stand_on_both_sides(folder: Path) -> None:
    names = [set(source(folder, split).known_as) for split in ("train", "val")]
    assert not names[0] & names[1]


def test_batches_are_the_same_from_any_number_of_workers_and_any_start(folder: Path) -> None:
    def batches(workers: int, start: int) -> list[torch.Tensor]:
        module = PatchDataModule(
            train=source(folder), val=None, batch_size=5, num_workers=workers, seed=3
        )
        module.start_batch = start
        stream = module.train_dataloader()
        return [batch.images for _, batch in zip(range(6 - start), stream, strict=False)]

    alone = batches(0, 0)
    assert all(torch.equal(a, b) for a, b in zip(alone, batches(2, 0), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(alone[3:], batches(1, 3), strict=True))


def test_a_damaged_tile_is_replaced_and_told(folder: Path) -> None:
    path = folder / "train/a/1.tif"
    with tifffile.TiffFile(path) as opened:
        page = opened.pages[0]
        place, count = page.dataoffsets[3], page.databytecounts[3]
    content = bytearray(path.read_bytes())
    content[place : place + count] = b"\0" * count
    path.write_bytes(content)
    train = source(folder, max_corrupt=0.3)
    shown = torch.cat([batch.index for batch in ordered_loader(train, batch_size=4, num_workers=2)])
    lost = [at for at in range(len(train)) if at not in shown.tolist()]
    told = train.unreadable()
    assert 1 <= len(lost) == len(told) <= 2
    assert all("train/a/1.tif (y=0, x=" in name for name, _ in told)


def test_what_is_kept_of_windows_changes_with_the_files_and_the_rule(folder: Path) -> None:
    first = source(folder)
    same, other = source(folder), source(folder, window=50, load_size=50)
    assert (first.fingerprint(), first.kept_key()) == (same.fingerprint(), same.kept_key())
    assert other.fingerprint() != first.fingerprint()
    assert other.kept_key() != first.kept_key()


def test_png_and_npy_are_read_in_windows_too(tmp_path: Path) -> None:
    pixels = picture()
    (tmp_path / "images").mkdir()
    for at in range(3):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{at}.png")
    train = source(tmp_path / "images")
    y, x, h, w = train.boxes[0]
    assert np.array_equal(train[0][0].permute(1, 2, 0), pixels[y : y + h, x : x + w])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 400}, r"data.window=400 is larger: set data.window=150"),
        ({"level": 2}, r"has 1 levels .*set data.level=0"),
        ({"window": 0}, r"data.window=0: must be 1 to 16384; set data.window=512"),
        ({"most_missing": 2}, r"data.most_missing=2: must be 0 to 1"),
        ({"least_spread": 120}, r"of them empty; set data.least_spread=0"),
        ({"channels": 5}, r"set data.channels=3"),
        ({"root": "nowhere"}, r"must be a folder of huge images; set data.root=DIR"),
    ],
)
def test_bad_requests_are_refused_with_a_remedy(folder: Path, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source(folder, **options)
