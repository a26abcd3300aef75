"""Mean and deviation are measured once, and what was used is what the export says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from small import SMALL_VIT

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.data import EmbeddedSource, FolderSource
from ssl_patches.data.items import ItemSource
from ssl_patches.data.statistics import channel_statistics, check_statistics
from ssl_patches.training import build as build_run
from ssl_patches.types import IMAGENET_MEAN


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def embedded(count: int = 24, **options) -> EmbeddedSource:
    return EmbeddedSource(count=count, image_size=32, **options)


def test_they_are_those_of_all_pixels_of_each_channel() -> None:
    source = embedded(channels=5)
    pixels = np.stack([source[at][0].numpy() for at in range(24)]) / 255
    found = channel_statistics(source)
    assert np.allclose(found["mean"], pixels.mean((0, 2, 3)), atol=1e-9)
    assert np.allclose(found["std"], pixels.std((0, 2, 3)), atol=1e-9)


def test_they_are_measured_once_and_again_for_other_images(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = channel_statistics(embedded())
    asked = []
    read = EmbeddedSource.__getitem__
    monkeypatch.setattr(
        EmbeddedSource, "__getitem__", lambda self, at: (asked.append(at), read(self, at))[1]
    )
    assert channel_statistics(embedded()) == first
    assert len(asked) == 1  # the shape of an image
    assert channel_statistics(embedded(seed=1)) != first
    assert len(list(own_cache.rglob("*.json"))) == 2


def test_a_cache_that_was_cut_short_is_made_again(own_cache: Path) -> None:
    first = channel_statistics(embedded())
    (file,) = own_cache.rglob("*.json")
    file.write_text('{"mean": [0.1')
    assert channel_statistics(embedded()) == first


def test_a_channel_that_never_changes_is_refused() -> None:
    class Flat(EmbeddedSource):
        def __getitem__(self, index: int):
            return torch.full((3, 8, 8), 9, dtype=torch.uint8), 0, index

    with pytest.raises(
        ValueError, match=r"channel 0 is 9 in every pixel.*set data.statistics=imagenet"
    ):
        channel_statistics(Flat(count=4))


def asked(*words: str) -> dict:
    return config.request(
        "pretrain", ["image_size=32", "data.count=24", *words], supplied=SUPPLIED, schema=PRETRAIN
    )


@pytest.mark.parametrize(
    "stated",
    [
        {"mean": [0.5] * 3},
        {"mean": [0.5] * 3, "std": [1.0] * 2},
        {"mean": [0.5] * 3, "std": [0.0] * 3},
    ],
)
def test_numbers_that_do_not_fit_are_refused(stated: dict) -> None:
    with pytest.raises(
        ValueError, match=r"one number per channel \(3\), std above 0; set data.statistics=measured"
    ):
        check_statistics(stated, 3)


def test_a_run_normalises_and_exports_what_it_measured(tmp_path: Path, proven_here) -> None:
    """From the words of the command to the folder that timm loads; and the run's own config needs
    no cache later."""
    words = [
        *SMALL_VIT,
        "image_size=32",
        "data.count=24",
        "data.num_workers=0",
        "data.batch_size=8",
        "budget.images=8",
    ]
    run_dir = tmp_path / "run"
    assert (
        main(
            [
                "pretrain",
                *words,
                "data.statistics=measured",
                "evaluation.test_images=8",
                f"run_dir={run_dir}",
            ]
        )
        == 0
    )
    expected = channel_statistics(EmbeddedSource(count=24, image_size=32))
    exported = json.loads((run_dir / "encoder" / "config.json").read_text())["pretrained_cfg"]
    assert {key: exported[key] for key in ("mean", "std")} == expected
    kept = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert kept["data"]["statistics"] == expected
    sampler = build_run.components(kept).parts[0].sampler
    assert torch.allclose(sampler.mean.flatten(), torch.tensor(expected["mean"]))
    assert not np.allclose(expected["mean"], IMAGENET_MEAN, atol=1e-3)


def test_they_belong_to_the_range_and_to_the_content_of_the_files(tmp_path: Path) -> None:
    for at in range(6):
        picture = np.random.default_rng(at).integers(0, 4096, (12, 12)).astype(np.uint16)
        Image.fromarray(picture).save(tmp_path / f"{at}.png", compress_level=0)

    def found(**options) -> float:
        images = FolderSource(
            root=str(tmp_path), split="train", image_size=12, channels=1, **options
        )
        return channel_statistics(images)["mean"][0]

    assert found() == pytest.approx(0.03, abs=0.01)
    assert found(value_range=(0, 4095)) == pytest.approx(0.5, abs=0.05)
    for at in range(6):
        dark = np.random.default_rng(at).integers(0, 400, (12, 12)).astype(np.uint16)
        Image.fromarray(dark).save(tmp_path / f"{at}.png", compress_level=0)
    assert found(value_range=(0, 4095)) == pytest.approx(0.05, abs=0.01)


def test_of_a_dataset_of_ones_own_nothing_is_kept(own_cache: Path) -> None:
    images = [np.full((8, 8, 3), at * 9, np.uint8) for at in range(20)]
    source = ItemSource(images, where="data", split="train", image_size=8)
    before = channel_statistics(source)
    for image in images:
        image[:4] = 255
    assert channel_statistics(source) != before
    assert not own_cache.exists()


def test_a_user_without_a_home_or_a_place_to_write_measures_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = channel_statistics(embedded(), folder=tmp_path / "kept")
    (tmp_path / "file").write_text("")
    assert channel_statistics(embedded(), folder=tmp_path / "file" / "below") == expected

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert channel_statistics(embedded()) == expected
