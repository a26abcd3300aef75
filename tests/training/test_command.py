"""The Python API asks, checks and refuses like the command line, and takes a Dataset object
besides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from small import SMALL

import ssl_patches
from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.config.words import data_words, words_of_keys
from ssl_patches.data import build as build_data
from ssl_patches.data.folder import FolderSource
from ssl_patches.data.layout import divide_numbers

TINY = {
    "encoder": {"options": {"depth": 2, "embed_dim": 48, "num_heads": 3}, "patch_size": 8},
    "image_size": 32,
    "budget": {"images": 64},
    "evaluation": {"train_images": 64, "test_images": 32},
    "callbacks": "none",
    "settings": {"data.batch_size": 16, "data.num_workers": 0},
}


class Blobs(torch.utils.data.Dataset):
    """Noise around one of three colours: (array (H, W, C), label)."""

    def __init__(self, count: int = 100) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[np.ndarray, int]:
        noise = np.random.default_rng(number).integers(0, 60, (40, 36, 3))
        noise[..., number % 3] += 150
        return noise.astype(np.uint8), number % 3


@pytest.fixture(scope="module")
def run_of_blobs(tmp_path_factory) -> Path:
    """A run of ``ssl_patches.pretrain`` on a Dataset object: never write into it."""
    folder = tmp_path_factory.mktemp("api")
    return ssl_patches.pretrain(
        data=Blobs(), task="masked", run_dir=folder / "run", say=lambda _: None, **TINY
    )


def test_importing_the_package_loads_nothing():
    code = """
import sys, ssl_patches
heavy = {"torch", "timm", "lightning", "hydra", "numpy"} & set(sys.modules)
assert not heavy, heavy
assert {"pretrain", "evaluate", "export", "load_encoder", "__version__"} <= set(dir(ssl_patches))
try:
    ssl_patches.pretrian
except AttributeError as error:
    assert "pretrian" in str(error)
else:
    raise SystemExit("an unknown name was found")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_export_is_the_function_and_the_package():
    import ssl_patches.export as package

    assert ssl_patches.export is package
    with pytest.raises(ValueError, match="model=nowhere: is no run"):
        ssl_patches.export(model="nowhere", output="x")


def test_a_dataset_object_is_trained_on_exported_and_evaluated(run_of_blobs):
    summary = json.loads((run_of_blobs / "summary.json").read_text())
    assert summary["task"] == "masked"
    assert summary["data"] == "Blobs"
    assert summary["budget_used"]["images"] == 64
    rows = {(row["model"], row["metric"]): row for row in summary["results"]}
    assert rows["trained", "knn5_top1"]["n"] == len(divide_numbers(100, "val"))
    assert (
        rows["raw_pixels", "linear_top1"]["value"] == 100
    )  # labels are those of the images: the colour tells
    assert (
        config.load(run_of_blobs / "config.yaml")["data"]["_target_"]
        == "ssl_patches.data.live.live_source"
    )


def test_after_the_call_the_object_is_gone_and_may_be_given_again(
    run_of_blobs, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"data=Blobs: was a Dataset object .* give data= again"):
        ssl_patches.evaluate(model=run_of_blobs, say=lambda _: None)
    keys = {
        "probes": ["knn"],
        "batch_size": 16,
        "settings": {"data.num_workers": 0},
        "say": lambda _: None,
    }
    rows = ssl_patches.evaluate(
        model=run_of_blobs, data=Blobs(), train_images=64, test_images=32, **keys
    )
    again = {row.metric: row.value for row in rows if row.model == "trained"}
    summary = json.loads((run_of_blobs / "summary.json").read_text())
    assert again == {
        row["metric"]: row["value"]
        for row in summary["results"]
        if row["model"] == "trained" and "knn" in row["metric"]
    }


def test_errors_are_those_of_the_command_all_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", "task=jigsw", "seed=abc", "sampler.tyle=3", "budget.images=[1]"]) == 2
    told = capsys.readouterr().err.strip()
    assert told.count("\n") == 3
    with pytest.raises(ValueError, match="did you mean 'jigsaw'") as error:
        ssl_patches.pretrain(task="jigsw", seed="abc", sampler={"tyle": 3}, budget={"images": [1]})
    assert str(error.value) == told
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_a_dataset_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for data, message in (
        ([{"picture": 1}] * 100, "data=list: item 0 is a dict with the keys picture and no image"),
        (
            iter([]),
            (
                "data=list_iterator: must be a map-style Dataset, but list_iterator has no __len__"
                " and no __getitem__"
            ),
        ),
        ({"train": Blobs(), "test": Blobs()}, "data['test']: unknown split"),
        ({"train": "a", "val": "b"}, "data['train']: must be a Dataset object"),
        ("imgs", "data=imgs: must name one of conf/data"),
        (tmp_path / "imgs", f"data.root={tmp_path / 'imgs'}"),
    ):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            ssl_patches.pretrain(data=data, **TINY)
        assert message in str(error.value)
    with pytest.raises(ValueError, match="cannot have a Dataset object of this one"):
        ssl_patches.pretrain(data=Blobs(), trainer={"devices": 2}, **TINY)
    with pytest.raises(ValueError, match="encoder: a setting is plain data, and this is a Linear"):
        ssl_patches.pretrain(**{**TINY, "encoder": torch.nn.Linear(2, 2)})
    with pytest.raises(ValueError, match="export takes the images of the run"):
        ssl_patches.export(model="run", output="x", data="cifar10")
    assert list(tmp_path.iterdir()) == []


def test_keys_become_the_words_of_the_command(tmp_path):
    assert words_of_keys(
        {
            "task": "jigsaw+masked",
            "budget": {"images": 1e6},
            "run_dir": tmp_path / "a b",
            "resume": True,
        },
        None,
    ) == [
        "task=jigsaw+masked",
        "budget.images=1000000.0",
        f'run_dir="{tmp_path}/a b"',
        "resume=true",
    ]
    assert words_of_keys({"logger": None}, {"parts.masked.weight": 0.5}) == [
        "logger=null",
        "parts.masked.weight=0.5",
    ]
    assert data_words("cifar10") == (["data=cifar10"], None)
    assert data_words(str(tmp_path)) == (["data=folder", f"data.root={tmp_path}"], None)
    assert data_words({"root": "x"}) == (["data.root=x"], None)
    assert data_words({"_target_": "a.B", "depth": 2}) == (
        ["data=own", "data._target_=a.B", "data.depth=2"],
        None,
    )


@pytest.mark.parametrize("place", ["", "encoder"])
def test_load_encoder_gives_what_was_exported_with_its_preprocessing(place, run_of_blobs, tmp_path):
    encoder, preprocess = ssl_patches.load_encoder(run_of_blobs / place)
    assert type(encoder).__module__.startswith("timm.")
    twin = timm.create_model(f"local-dir:{run_of_blobs / 'encoder'}", pretrained=True).eval()
    Image.fromarray(Blobs()[7][0]).save(tmp_path / "a.png")
    source = FolderSource(root=str(tmp_path), split="train", image_size=32, load_size=32)
    mean, std = (
        torch.tensor(part).view(3, 1, 1) for part in build_data.pixel_statistics({"data": {}})
    )
    expected = (source[0][0] / 255 - mean) / std
    array = Blobs()[7][0]
    for image in (
        tmp_path / "a.png",
        Image.fromarray(array),
        array,
        torch.from_numpy(array).permute(2, 0, 1),
    ):
        prepared = preprocess(image)
        assert prepared.shape == (3, 32, 32)
        assert (
            prepared - expected
        ).abs().max() < 0.02  # Pillow rounds RGB and planes of its own differently by a level
    with torch.inference_mode():
        assert encoder(preprocess(array)[None]).equal(twin(preprocess(array)[None]))


def test_load_encoder_takes_a_name_of_timm_and_refuses_others():
    encoder, preprocess = ssl_patches.load_encoder("resnet10t", pretrained=False)
    assert encoder(preprocess(np.zeros((50, 60, 3), np.uint8))[None]).shape == (1, 512)
    with pytest.raises(ValueError, match="no such folder, and timm has no such model"):
        ssl_patches.load_encoder("resnet1O")


def test_the_command_line_and_the_function_make_the_same_run(tmp_path, quick_end):
    words = [word for word in SMALL if not word.startswith("data.count")]
    assert (
        main(["pretrain", *words, "data.count=64", "callbacks=none", f"run_dir={tmp_path / 'a'}"])
        == 0
    )
    tiny = {**TINY, "settings": {**TINY["settings"], "data.count": 64}}
    ssl_patches.pretrain(run_dir=tmp_path / "b", say=lambda _: None, **tiny)
    a, b = (config.load(tmp_path / name / "config.yaml") for name in "ab")
    assert {**a, "run_dir": ""} == {**b, "run_dir": ""}
