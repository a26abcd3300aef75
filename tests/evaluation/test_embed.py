"""``ssl-patches embed``: every image once, as the exported model sees it, whatever interrupts the
writing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from networks import proven_in_this_process, write
from PIL import Image

from ssl_patches.cli import main
from ssl_patches.data import FolderSource, ItemSource, ManifestSource
from ssl_patches.data.decode import decode
from ssl_patches.encoders.subject import open_model
from ssl_patches.evaluation.features.reader import image_name

WORDS = (
    "data=folder",
    "data.root=images",
    "data.num_workers=0",
    "batch_size=8",
    "data.max_corrupt=0.1",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """An export and a folder of 50 labelled images, one of them broken behind a sound header."""
    folder, draw = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    with proven_in_this_process():
        write("vit", folder / "encoder")
    for at in range(50):
        place = (
            folder / "images" / ("val" if at >= 40 else "train") / f"class{at % 2}" / f"{at:02}.png"
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(place)
    broken = folder / "images" / "train" / "class1" / "07.png"
    broken.write_bytes(broken.read_bytes()[:500])
    return folder


@pytest.fixture(autouse=True)
def here(world, monkeypatch) -> Path:
    monkeypatch.chdir(world)
    yield world
    for path in world.glob("*.parquet"):
        path.unlink()


def embed(*words: str, code: int = 0) -> None:
    assert main(["embed", "model=encoder", *WORDS, *words]) == code


def vectors(path: Path, column: str = "vector") -> np.ndarray:
    found = pq.read_table(path)[column].combine_chunks()
    return found.flatten().to_numpy().reshape(len(found), -1)


def test_a_row_is_what_the_exported_model_makes_of_the_file(here, capsys):
    embed("output=a.parquet", "--json")
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["rows"], found["dim"], found["unreadable"], found["encoded"]) == (49, 48, 1, 49)
    assert "1 files could not be read and have no row" in said.err
    rows = pq.read_table(here / "a.parquet").to_pylist()
    assert {row["path"] for row in rows} == {
        path.relative_to(here / "images").as_posix()
        for path in (here / "images").rglob("*.png")
        if path.name != "07.png"
    }
    model = timm.create_model(f"local-dir:{here / 'encoder'}", pretrained=True).eval()
    for row in (rows[0], rows[7], rows[-1]):
        image = decode(str(here / "images" / row["path"]), channels=3, size=32)
        with torch.inference_mode():
            expected = model(((image / 255 - 0.4) / 0.25)[None])[0]
        assert (
            np.abs(np.array(row["vector"]) - expected.numpy()).max() <= 1e-5 * expected.abs().max()
        )
        assert row["split"] == row["path"].split("/")[0]
        assert row["path"].split("/")[1] == f"class{row['label']}"
    said = json.loads(pq.read_schema(here / "a.parquet").metadata[b"ssl_patches"])
    assert said["classes"] == ["class0", "class1"]
    assert len(said["model"]["weights_sha256"]) == 64


def test_tiles_have_exact_boxes_and_their_mean_is_the_image(here):
    embed("output=a.parquet")
    embed("output=b.parquet", "tiles=2")
    images, tiles, boxes = (
        vectors(here / "a.parquet"),
        vectors(here / "b.parquet").reshape(49, 4, 48),
        vectors(here / "b.parquet", "box").reshape(49, 4, 4),
    )
    assert (boxes == [[0, 0, 16, 16], [0, 16, 16, 16], [16, 0, 16, 16], [16, 16, 16, 16]]).all()
    assert np.abs(tiles.mean(1) - images).max() < 1e-5 * np.abs(images).max()
    assert np.abs(tiles[:, 0] - tiles[:, 3]).max() > 1e-3


def test_windows_have_their_boxes_in_the_image_and_tiles_theirs_within(here):
    draw = np.random.default_rng(0)
    (here / "large").mkdir(exist_ok=True)
    for at in range(4):
        pixels = np.kron(draw.integers(0, 256, (16, 24, 3), dtype=np.uint8), np.ones((8, 8, 1)))
        Image.fromarray(pixels.astype(np.uint8)).save(here / "large" / f"{at}.png")
    words = ("data=windows", "data.root=large", "data.window=64", f"data.unpacked_dir={here}/kept")
    embed("output=a.parquet", *words, "data.num_workers=0", "splits=[train]")
    boxes = vectors(here / "a.parquet", "box")
    assert sorted(map(tuple, boxes[:6])) == [(y, x, 64, 64) for y in (0, 64) for x in (0, 64, 128)]
    embed("output=b.parquet", *words, "data.num_workers=0", "splits=[train]", "tiles=2")
    tiles = vectors(here / "b.parquet", "box").reshape(len(boxes), 4, 4)
    assert (tiles[..., 2:] == 32).all()
    assert (tiles[:, 0, :2] == boxes[:, :2]).all()
    assert (tiles[:, 3, :2] == boxes[:, :2] + 32).all()


def test_a_bar_shows_images_and_the_share_of_waiting(here, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    embed("output=a.parquet")
    said = capsys.readouterr().err
    assert "image/s" in said
    assert "waiting for data" in said


def test_bf16_is_close_and_not_the_same(here):
    embed("output=a.parquet")
    embed("output=b.parquet", "precision=bf16")
    a, b = vectors(here / "a.parquet"), vectors(here / "b.parquet")
    assert 1e-5 < np.abs(a - b).max() / np.abs(a).max() < 5e-2


def test_a_command_that_is_killed_goes_on_and_the_file_is_the_same(here, capsys):
    embed("output=whole.parquet", "rows_per_part=8")
    words = ["embed", "model=encoder", *WORDS, "output=a.parquet", "rows_per_part=8"]
    slow = (
        "import torch, time; from ssl_patches.evaluation import embed; from ssl_patches.cli import"
        " main; import sys\n"
    )
    slow += "old = embed.Reader.__call__\n"
    slow += "embed.Reader.__call__ = lambda self, images: (time.sleep(0.3), old(self, images))[1]\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{slow}main(sys.argv[1:])", *words], stderr=subprocess.PIPE
    )
    parts, end = here / ".a.parquet.parts", time.monotonic() + 120
    while (
        len(list(parts.glob("train-*.parquet"))) < 2
        and process.poll() is None
        and time.monotonic() < end
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (here / "a.parquet").exists()
    done = len(list(parts.glob("*-*.parquet")))
    assert 2 <= done < 7
    capsys.readouterr()
    embed("output=a.parquet", "rows_per_part=8", "--json")
    said = capsys.readouterr()
    assert f"goes on after {8 * done} of 50 images" in said.err
    assert json.loads(said.out)["encoded"] < 49
    assert pq.read_table(here / "a.parquet").equals(pq.read_table(here / "whole.parquet"))
    assert not parts.exists()


def test_parts_of_another_request_are_not_joined(here, capsys, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ssl_patches.evaluation.parquet.Chunks.join", die)
        embed("output=a.parquet", code=1)
    assert not (here / "a.parquet").exists()
    capsys.readouterr()
    embed("output=a.parquet", "tiles=2", code=2)
    assert "tiles was None, is 2" in capsys.readouterr().err
    embed("output=a.parquet", "tiles=2", "overwrite=true")
    assert len(vectors(here / "a.parquet")) == 4 * 49


def test_what_is_wrong_is_said_before_anything_is_written(here, capsys):
    (here / "b.parquet").write_text("precious")
    before = sorted(here.rglob("*"))
    cases = {
        (
            "output=b.parquet",
        ): "output=b.parquet: exists already; set another output, or overwrite=true",
        ("output=images",): "output=images: is a folder",
        ("output=b.parquet/a.parquet",): "cannot be written",
        (
            "output=a.parquet",
            "tiles=3",
        ): "tiles=3: must divide the 4 x 4 positions of the dense map; set tiles to one of 1, 2, 4",
        ("output=a.parquet", "batch_size=0"): "batch_size=0: must be at least 1",
        ("output=a.parquet", "splits=[]"): "must name each split once",
        ("output=a.parquet", "splits=[trian]"): "splits",
        (
            "output=a.parquet",
            "data.channels=1",
        ): "data.channels=1: encoder takes images of 3; set data.channels=3",
        ("output=a.parquet", "precison=bf16"): "did you mean 'precision'",
    }
    for words, message in cases.items():
        embed(*words, code=2)
        assert message in capsys.readouterr().err, words
    assert sorted(here.rglob("*")) == before
    assert (here / "b.parquet").read_text() == "precious"


def test_images_of_a_run_and_of_no_file_are_named_by_number(
    finished_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["embed", f"model={finished_run}", "output=a.parquet", "splits=[train]"]) == 0
    rows = pq.read_table("a.parquet").to_pylist()
    assert [row["path"] for row in rows] == [f"train/{at}" for at in range(64)]
    assert {row["label"] for row in rows} <= set(range(10))


def test_without_pyarrow_the_extra_is_named(monkeypatch, capsys):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    embed("output=a.parquet", code=2)
    assert "install ssl-patches[parquet]" in capsys.readouterr().err


@pytest.mark.slow
def test_tiles_of_a_network_whose_map_lies_otherwise_are_refused(here, capsys):
    words = [
        "data=embedded",
        "data.count=8",
        "data.num_workers=0",
        "pretrained=false",
        "output=a.parquet",
    ]
    assert main(["embed", "model=swin_tiny_patch4_window7_224", *words, "tiles=7"]) == 2
    assert "gives no map of 7 x 7 positions; leave tiles out" in capsys.readouterr().err
    assert main(["embed", "model=swin_tiny_patch4_window7_224", *words]) == 0


@pytest.mark.slow
def test_it_runs_at_the_speed_of_the_encoder(here):
    """Decoding, tables and files cost little beside a network of a usual size (process time, one
    core)."""
    with proven_in_this_process(2):
        from networks import exportable

        from ssl_patches.export import Wanted, export_model

        big = timm.create_model("resnet18", num_classes=0).eval()
        given = exportable(
            "resnet", big, arguments={}, preprocessing=exportable("resnet").preprocessing
        )
        given = given.resized(128)
        export_model(given, here / "big", wanted=Wanted(), card={})
    model = open_model(str(here / "big"), pretrained=True).model.to(
        memory_format=torch.channels_last
    )
    images = torch.rand(8, 3, 128, 128).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        model(images)
        began = time.process_time()
        for _ in range(6):
            model(images)
        alone = (time.process_time() - began) / 48
    spent = {}
    for name, words in {"warm": ["splits=[val]"], "few": ["splits=[val]"], "all": []}.items():
        began = time.process_time()
        assert main(["embed", "model=big", *WORDS, *words, f"output={name}.parquet"]) == 0
        spent[name] = time.process_time() - began
    each = (
        spent["all"] - spent["few"]
    ) / 39  # without what is paid once: loading, hashing, reading headers
    assert each < 1.5 * alone, (each, alone, spent)


def test_a_row_names_the_image_as_the_user_knows_it(tmp_path):
    """Below a root, as it is listed, or by the number in the Dataset."""
    for at in range(8):
        Image.new("RGB", (8, 8), (at, 0, 0)).save(tmp_path / f"{at}.png")
    listed = [f"./{at}.png" for at in range(4)] + [
        str(tmp_path / f"{at}.png") for at in range(4, 8)
    ]
    (tmp_path / "list.txt").write_text("\n".join(listed))
    options = {"image_size": 8}
    folder, manifest, own = (
        [source(split) for split in ("train", "val")]
        for source in (
            lambda split: FolderSource(root=str(tmp_path), split=split, **options),
            lambda split: ManifestSource(path=str(tmp_path / "list.txt"), split=split, **options),
            lambda split: ItemSource(
                [Image.new("RGB", (8, 8))] * 30, where="data", split=split, apart=False, **options
            ),
        )
    )

    def names(pair):
        return {
            image_name(source, split, index)
            for source, split in zip(pair, ("train", "val"), strict=True)
            for index in range(len(source))
        }

    assert names(folder) == {f"{at}.png" for at in range(8)}
    assert names(manifest) == set(listed)
    assert {name.split("/")[1] for name in names(own)} == {str(at) for at in range(30)}


def test_a_name_that_is_no_text_is_escaped(tmp_path):
    """As bytes of an old archive: Parquet takes UTF-8 only."""
    for at in range(6):
        with open(os.path.join(os.fsencode(tmp_path), b"b\xe4r_%d.png" % at), "wb") as file:
            Image.new("RGB", (8, 8)).save(file, "PNG")
    source = FolderSource(root=str(tmp_path), split="train", image_size=8)
    names = {image_name(source, "train", index) for index in range(len(source))}
    assert all(name.encode("utf-8").startswith(rb"b\udce4r_") for name in names)
