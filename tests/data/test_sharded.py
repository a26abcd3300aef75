"""Images in shards are items like those of the folder that they were packed from."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shard_files import pack_images
from small import REPOSITORY, SMALL_VIT

from ssl_patches.cli import main
from ssl_patches.data import FolderSource, ShardSource
from ssl_patches.data.module import EndlessBatches
from ssl_patches.data.order import order_of
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.encoders.exported import CARD


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """60 images of 2 classes in shards of about 10."""
    return pack_images(tmp_path_factory.mktemp("packed"))


def source(place: Path, split: str = "train", **options: object) -> ShardSource:
    given = {"path": str(place / "shards"), "split": split, "image_size": 16, "mixed": 2}
    return ShardSource(**{**given, "shard_dir": str(place / "kept"), **options})


def test_items_are_those_of_the_folder(packed: Path) -> None:
    for split in ("train", "val"):
        shards = source(packed, split)
        folder = FolderSource(root=str(packed / "images"), split=split, image_size=16)
        assert len(shards) == len(folder)
        assert (shards.classes, shards.load_size) == (folder.classes, folder.load_size)
        known = {name: at for at, name in enumerate(folder.known_as)}
        for at, name in enumerate(shards.known_as):
            image, label, index = shards[at]
            same, its, _ = folder[known[name]]
            assert torch.equal(image, same)
            assert (label, index) == (its, at)


def test_any_format_is_packed_and_read_as_in_its_folder(tmp_path: Path) -> None:
    """Bytes in a shard are read by the rules of the file that they were."""
    draw = np.random.default_rng(1)
    pixels = draw.integers(0, 256, (24, 30, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[274] = 6
    place = tmp_path / "images" / "a"
    place.mkdir(parents=True)
    for at in range(12):
        Image.fromarray(pixels + np.uint8(at)).save(place / f"{at}.jpg", exif=turned)
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(place / f"{at}.tif")
        Image.fromarray(pixels).convert("P").save(place / f"{at}.gif")
    arrays = tmp_path / "arrays" / "images"
    arrays.mkdir(parents=True)
    for at in range(12):
        np.save(arrays / f"{at}.npy", pixels.astype(np.uint16) * 257)
        np.savez(arrays / f"{at}.npz", image=pixels)
    for root in (tmp_path / "images", tmp_path / "arrays"):
        assert main(["pack", f"data.root={root}", f"output={root}-shards"]) == 0
        folder = FolderSource(root=str(root), split="train", image_size=16)
        shards = ShardSource(
            path=f"{root}-shards", split="train", image_size=16, shard_dir=str(tmp_path / "kept")
        )
        known = {name: at for at, name in enumerate(folder.known_as)}
        assert sorted(shards.known_as) == sorted(known)
        for at, name in enumerate(shards.known_as):
            assert torch.equal(shards[at][0], folder[known[name]][0]), name


def test_a_fingerprint_knows_the_content_of_shards(packed: Path, tmp_path: Path) -> None:
    """Other pixels in as many bytes are other images; runs of before knew names and sizes."""
    first = source(packed)
    place = shutil.copytree(packed / "shards", tmp_path / "shards")
    assert source(tmp_path).fingerprint() == first.fingerprint()
    (place / "shards.json").unlink()
    alone = source(tmp_path)
    assert alone.former_fingerprint() == first.former_fingerprint() != first.fingerprint()
    offset = int(alone._offsets[0])
    shard = Path(alone.shards[0].url)
    content = bytearray(shard.read_bytes())
    content[offset] ^= 1
    before = alone.fingerprint()
    shard.write_bytes(content)
    assert source(tmp_path).fingerprint() != before
    assert source(tmp_path).former_fingerprint() == alone.former_fingerprint()


def edited(shard: Path, offset: int, *, dated: bool = False) -> None:
    """Turn a bit of a shard where it lies; ``dated``: with the time of change that it had."""
    before = shard.stat()
    with shard.open("r+b") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 1]))
    if dated:
        os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("dated", [False, True])
def test_a_shard_of_ours_that_is_edited_in_place_is_refused(packed, tmp_path, dated) -> None:
    """Its list and the table beside it speak of what was there before."""
    shutil.copytree(packed / "shards", tmp_path / "shards")
    before = source(tmp_path)
    shard = Path(before.shards[0].url)
    os.utime(shard)
    assert source(tmp_path).fingerprint() == before.fingerprint()  # changed, and whole
    after = int(before._offsets[0]) + -(-int(before._lengths[0]) // 512) * 512
    edited(shard, after + 1536 + len('{"path": "'), dated=dated)  # the name of the first image
    with pytest.raises(ValueError, match=r"was changed after shards\.json, which says another"):
        source(tmp_path)
    (tmp_path / "shards" / "shards.json").unlink()
    assert source(tmp_path).fingerprint() != before.fingerprint()
    assert dated or source(tmp_path).kept_key() != before.kept_key()


@pytest.mark.parametrize("dated", [False, True])
def test_an_image_of_ours_that_is_edited_in_place_is_left_out_alone(
    packed, tmp_path, dated
) -> None:
    """Also one that can still be decoded: it is not what was packed."""
    shutil.copytree(packed / "shards", tmp_path / "shards")
    whole, shard = source(packed), tmp_path / "shards" / "train-00000.tar"
    lost = int(whole._offsets[3]), int(whole._lengths[3])
    edited(shard, lost[0] + lost[1] - 1, dated=dated)
    with pytest.raises(ValueError, match=r"data.max_corrupt=0.01: 1 of .* not those that were"):
        source(tmp_path)
    found = source(tmp_path, max_corrupt=0.1)
    others = [name for at, name in enumerate(whole.known_as) if at != 3]
    assert list(found.known_as) == others
    assert [name for name, _ in found.unreadable()] == [whole.known_as[3]]
    assert all(torch.equal(found[at][0], whole[at + (at >= 3)][0]) for at in range(6))
    assert found.fingerprint() != whole.fingerprint()
    assert found.kept_key() != whole.kept_key()
    edited(shard, int(whole._offsets[5]), dated=True)
    assert source(tmp_path, max_corrupt=0.1).kept_key() != found.kept_key()


def test_a_label_that_is_edited_in_place_is_the_new_one(packed: Path, tmp_path: Path) -> None:
    """The table beside a shard, which knows the old one, is not believed without its list."""
    shutil.copytree(packed / "shards", tmp_path / "shards")
    (tmp_path / "shards" / "shards.json").unlink()
    before = source(tmp_path)
    shard = Path(before.shards[0].url)
    with tarfile.open(shard) as opened:
        notes = {name.name: name.offset_data for name in opened if name.name[-4:] != ".png"}
    first = min(name for name in notes if name.endswith(".cls"))
    edited(shard, notes[first])
    begin = notes[first.replace(".cls", ".json")]
    edited(shard, shard.read_bytes().index(b'"label": ', begin) + len('"label": '))
    after = source(tmp_path)
    assert (after.labels != before.labels).sum() == 1
    assert after.kept_key() != before.kept_key()
    assert after.label_key() != before.label_key()


@pytest.mark.parametrize("listed", [True, False])
def test_a_shard_that_is_written_while_it_is_read_is_noticed(packed, tmp_path, listed) -> None:
    shutil.copytree(packed / "shards", tmp_path / "shards")
    if not listed:
        (tmp_path / "shards" / "shards.json").unlink()
    images = source(tmp_path)
    assert images[0][2] == 0
    edited(Path(images.shards[0].url), int(images._offsets[1]))
    with pytest.raises(ValueError, match="was written while it is read"):
        images[0]
    assert images[len(images) - 1][2] == len(images) - 1  # of another shard


def test_batches_are_the_same_from_any_number_of_workers_processes_and_any_start(packed) -> None:
    def batches(workers: int, start: int) -> list[torch.Tensor]:
        module = PatchDataModule(
            train=source(packed), val=None, batch_size=8, num_workers=workers, seed=3
        )
        module.start_batch = start
        return [b.images for _, b in zip(range(9 - start), module.train_dataloader(), strict=False)]

    alone = batches(0, 0)
    assert all(torch.equal(a, b) for a, b in zip(alone, batches(2, 0), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(alone[5:], batches(1, 5), strict=True))
    train = source(packed)
    one = EndlessBatches(length=len(train), batch_size=8, seed=3, order=order_of(train, 3))
    parts = [
        EndlessBatches(
            length=len(train), batch_size=4, seed=3, rank=r, world=2, order=order_of(train, 3)
        )
        for r in (0, 1)
    ]
    together = zip(*parts, strict=False)
    for whole, (first, second) in islice(zip(one, together, strict=False), 20):
        assert whole == first + second


def test_the_tables_of_pack_are_no_images_beside_the_shards(packed: Path) -> None:
    assert source(packed).remarks == []
    assert source(packed, path=f"file://{packed}/shards").remarks == []


def test_an_epoch_reads_each_image_once_and_few_shards_at_a_time(packed: Path) -> None:
    train = source(packed)
    assert len(train.blocks) >= 5
    batches = EndlessBatches(length=len(train), batch_size=1, seed=0, order=order_of(train, 0))
    seen = [at for (at,) in islice(batches, 2 * len(train))]
    first, second = seen[: len(train)], seen[len(train) :]
    assert sorted(first) == sorted(second) == list(range(len(train)))
    assert first != second
    ends = np.cumsum(train.blocks)
    shards = [int(np.searchsorted(ends, at, "right")) for at in first]
    spans = {one: (shards.index(one), len(shards) - shards[::-1].index(one)) for one in set(shards)}
    at_once = Counter(at for begin, end in spans.values() for at in range(begin, end))
    assert max(at_once.values()) <= train.mixed


def test_the_source_is_told_what_comes_next(packed: Path, monkeypatch) -> None:
    train, told = source(packed), []
    monkeypatch.setattr(train, "expect", told.append)
    batches = EndlessBatches(length=len(train), batch_size=1, seed=0, order=order_of(train, 0))
    list(islice(batches, len(train)))
    assert len(told) == -(-len(train.blocks) // train.mixed)
    assert told[0][2:4] == told[1][:2]


def test_shards_without_sides_are_divided_by_the_hash_of_names(packed: Path, tmp_path) -> None:
    for at, path in enumerate(sorted((packed / "shards").glob("*.tar"))):
        (tmp_path / f"{at}.tar").write_bytes(path.read_bytes())
    options = {"path": str(tmp_path), "image_size": 16, "shard_dir": str(tmp_path / "kept")}
    train, val = (ShardSource(split=split, **options) for split in ("train", "val"))
    names = [set(train.known_as), set(val.known_as)]
    assert len(names[0]) + len(names[1]) == 60
    assert not names[0] & names[1]
    folder = FolderSource(root=str(packed / "images"), split="val", image_size=16)
    assert names[1] == set(folder.known_as)  # the same hash as a folder takes


def test_parquet_has_the_items_that_datasets_wrote(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (30, 20, 20, 3), dtype=np.uint8)
    table = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(each) for each in pixels], "label": list(range(30))},
        datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=30)}
        ),
    )
    for split in ("train", "test"):
        table.to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    found = ShardSource(
        path=str(tmp_path),
        split="val",
        image_size=16,
        shard_dir=str(tmp_path / "kept"),
        load_size=20,
    )
    assert len(found) == 30
    for at in (0, 7, 29):
        image, label, _ = found[at]
        assert np.array_equal(image.permute(1, 2, 0), pixels[at])
        assert label == at


def test_a_damaged_image_is_replaced_and_told_by_its_name(packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed / "shards", tmp_path / "shards")
    whole = source(packed)
    name, offset = whole.known_as[3], int(whole._offsets[3])
    place = tmp_path / "shards" / "train-00000.tar"
    content = bytearray(place.read_bytes())
    content[offset : offset + 8] = b"no image"
    place.write_bytes(content)
    (tmp_path / "shards" / "shards.json").unlink()  # which says another content
    found = source(tmp_path, max_corrupt=0.1)
    assert found[3][2] == 4
    assert [name for name, _ in found.unreadable()] == [name]


def test_keys_change_with_the_shards(packed: Path, tmp_path: Path) -> None:
    first, second = source(packed), source(packed)
    assert (first.fingerprint(), first.kept_key()) == (second.fingerprint(), second.kept_key())
    assert source(packed, "val").fingerprint() != first.fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixed": 0}, r"data.mixed=0: must be 1 to 4096; set data.mixed=8"),
        ({"path": "nowhere"}, r"data.path=nowhere: names the shard .*which is not there"),
        ({"timeout": 0}, r"data.timeout=0: must be"),
    ],
)
def test_bad_requests_are_refused_with_a_remedy(packed: Path, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source(packed, **options)


def test_a_card_may_name_shards_but_no_address(packed: Path) -> None:
    from ssl_patches.data.build import source as build

    node = {"_target_": "ssl_patches.data.ShardSource", "batch_size": 1, "num_workers": 0}
    cfg = {"image_size": 16, "data": {**node, "path": str(packed / "shards")}}
    allowed = ("ssl_patches.data.ShardSource",)
    assert len(build(cfg, "val", whole=True, allowed=allowed))
    cfg["data"]["path"] = "s3://somebody/else"
    with pytest.raises(ValueError, match="nothing is fetched because it says so"):
        build(cfg, "val", whole=True, allowed=allowed)


def test_the_images_of_a_run_in_an_object_store_are_had_by_typing_the_address(
    packed: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    """``evaluate``, ``embed`` and ``duplicates`` of such a run: refused, and the remedy works."""
    monkeypatch.chdir(tmp_path)
    address = f"file://{packed}/shards"  # which fsspec fetches, as it does s3://
    export = shutil.copytree(REPOSITORY / "tests/fixtures/before_move/export", "export")
    card = json.loads((Path(export) / CARD).read_text())
    node = {"_target_": "ssl_patches.data.ShardSource", "path": address, "batch_size": 8}
    card["config"]["data"] = {**node, "num_workers": 0, "shard_dir": str(tmp_path / "kept")}
    (Path(export) / CARD).write_text(json.dumps(card))
    rests = {
        "evaluate": ["probes=[knn]"],
        "embed": ["output=a.parquet", "data.num_workers=0"],
        "duplicates": ["output=copies.csv"],
    }
    for command, rest in rests.items():
        assert main([command, "model=export", *rest]) == 2
        said = capsys.readouterr().err
        word = re.search(r"type (data\.path=\S+) yourself", said)
        assert word, said
        assert main([command, "model=export", *rest, word[1]]) == 0, capsys.readouterr().err
        capsys.readouterr()
    card["config"]["data"]["storage_options"] = {"auto_mkdir": False}
    (Path(export) / CARD).write_text(json.dumps(card))
    words = ["evaluate", "model=export", "probes=[knn]", f"data.path={address}"]
    assert main(words) == 2
    assert "type data.storage_options={...} as well" in capsys.readouterr().err
    assert main([*words, "data.storage_options={}"]) == 0


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_weights_of_the_unbroken_one(
    packed: Path, tmp_path: Path
) -> None:
    """kill -9 in the middle, then ``resume=true`` with another number of workers."""

    def run(name: str, *words: str) -> subprocess.Popen[bytes]:
        data = ("data=shards", f"data.path={packed}/shards", f"data.shard_dir={tmp_path}/kept")
        small = ("image_size=32", "data.batch_size=8", "data.mixed=2", "budget.images=240")
        lean = ("evaluation=none", "export=none")
        command = [
            sys.executable,
            "-m",
            "ssl_patches",
            "pretrain",
            *SMALL_VIT,
            *data,
            *small,
            *lean,
        ]
        rest = ("trainer.checkpoint_steps=10", "trainer.log_every=1", f"run_dir={tmp_path}/{name}")
        return subprocess.Popen([*command, *rest, *words], start_new_session=True)

    def logged(name: str) -> str:
        place = tmp_path / name / "metrics.csv"
        return place.read_text() if place.is_file() else ""

    assert run("whole", "data.num_workers=1").wait(600) == 0
    process = run("broken", "data.num_workers=2")
    while "\n12," not in logged("broken"):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert "\n30," not in logged("broken"), "the kill came too late to say anything"
    assert run("broken", "data.num_workers=0", "resume=true").wait(600) == 0
    states = [
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "broken")
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
