"""Images and their statistics are built as a configuration says."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ssl_patches import config
from ssl_patches.config.files import trusted
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.data import build as build_data
from ssl_patches.data.live import LIVE
from ssl_patches.types import IMAGENET_MEAN, IMAGENET_STD


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def asked(*words: str) -> dict:
    return config.request(
        "pretrain", ["image_size=32", "data.count=24", *words], supplied=SUPPLIED, schema=PRETRAIN
    )


def test_the_default_stays_imagenets() -> None:
    assert build_data.pixel_statistics(asked()) == (IMAGENET_MEAN, IMAGENET_STD)
    assert build_data.pixel_statistics(asked("data.statistics=imagenet")) == (
        IMAGENET_MEAN,
        IMAGENET_STD,
    )
    assert build_data.with_measured_statistics(asked()) == asked()


def test_numbers_may_be_given() -> None:
    cfg = asked("data.statistics={mean:[0.1,0.2,0.3],std:[1.0,2.0,3.0]}")
    assert build_data.pixel_statistics(cfg) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))


def test_another_word_is_refused() -> None:
    with pytest.raises(
        config.BadRequest, match=r"data.statistics=measure: must be one of imagenet, measured"
    ):
        asked("data.statistics=measure")


# --- the images of a run, from anywhere


def pictures(root: Path, count: int = 6, tone: int = 0) -> Path:
    root.mkdir(parents=True)
    for at in range(count):
        Image.new("RGB", (8 + tone, 8), (at, tone, 0)).save(root / f"{at}.png")
    return root


def node(root: str) -> dict:
    return {
        "data": {
            "_target_": "ssl_patches.data.FolderSource",
            "root": root,
            "batch_size": 2,
            "num_workers": 0,
        },
        "image_size": 8,
    }


@pytest.mark.parametrize("typed", ["pics", "./pics/", "deep/../pics", "."])
def test_a_place_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    pictures(tmp_path / "pics")
    (tmp_path / "deep").mkdir()
    pictures(tmp_path / "other" / "pics", tone=5)
    monkeypatch.chdir(tmp_path)
    kept = build_data.with_absolute_places(node(typed)["data"])
    here = build_data.source(node(typed), "train", whole=True).fingerprint()
    monkeypatch.chdir(tmp_path / "other")
    there = build_data.source({"data": kept, "image_size": 8}, "train", whole=True)
    assert here == there.fingerprint()
    assert kept["batch_size"] == 2


def test_only_places_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CIFAR10").mkdir()
    (tmp_path / "pack.bin").touch()
    data = {
        "_target_": "x.Y",
        "name": "CIFAR10",
        "pack_file": "pack.bin",
        "root": "no",
        "cache": True,
    }
    assert build_data.with_absolute_places(data) == {
        **data,
        "pack_file": str(tmp_path / "pack.bin"),
        "root": str(tmp_path / "no"),
    }


def test_a_batch_of_calibration_is_not_of_one_class(tmp_path: Path) -> None:
    for name, tone in (("dark", 0), ("light", 200)):
        folder = tmp_path / name
        folder.mkdir()
        for at in range(130):
            Image.new("RGB", (4, 4), (tone, tone, at)).save(folder / f"{at:03}.png")
    batches = list(build_data.whole_batches(node(str(tmp_path))))
    assert len(batches) == 2
    for batch in batches:
        assert 0.3 < (batch[:, 0].mean((1, 2)) > batch[:, 0].mean()).float().mean() < 0.7


def test_calibration_refuses_other_images_than_those_of_the_run(tmp_path: Path) -> None:
    own, other = (pictures(tmp_path / name, tone=tone) for name, tone in (("a", 0), ("b", 5)))
    found = build_data.source(node(str(own)), "train", whole=True).fingerprint()
    assert len(list(build_data.whole_batches(node(str(own)), fingerprint=found))) == 1
    with pytest.raises(ValueError, match=r"data.root=.*/b: its images are not those that the run"):
        next(build_data.whole_batches(node(str(other)), fingerprint=found))


@pytest.mark.parametrize("whole", [True, False])
def test_a_fingerprint_does_not_depend_on_the_size_that_is_loaded(
    tmp_path: Path, whole: bool
) -> None:
    root = pictures(tmp_path / "a", tone=20)
    (tmp_path / "list.txt").write_text("\n".join(f"{at}.png" for at in range(6)))
    manifest = {
        "data": {
            "_target_": "ssl_patches.data.ManifestSource",
            "path": str(tmp_path / "list.txt"),
            "root": str(root),
        },
        "image_size": 8,
    }
    for cfg in (node(str(root)), manifest, asked()):
        assert (
            build_data.source(cfg, "train", whole=whole).fingerprint()
            == build_data.source(cfg, "train", whole=not whole).fingerprint()
        )


def test_what_is_said_of_images_is_said_once(tmp_path: Path) -> None:
    root = pictures(tmp_path / "a")
    (root / "x.nef").touch()
    pair = [build_data.source(node(str(root)), split, whole=True) for split in ("train", "val")]
    assert len(build_data.remarks(*pair, None)) == 1
    assert build_data.remarks(build_data.source(asked(), "train", whole=True)) == []


def test_a_range_that_could_not_be_applied_is_refused_and_one_of_a_model_left_out() -> None:
    cfg = asked("data.value_range=[0,4095]")
    with pytest.raises(ValueError, match=r"data.value_range=.*EmbeddedSource takes none"):
        build_data.source(cfg, "train", whole=True)
    data = asked()["data"]
    assert build_data.with_value_range(data, (0, 4095)) == data
    folder = {"_target_": "ssl_patches.data.FolderSource", "root": "x"}
    assert build_data.with_value_range(folder, (0, 4095))["value_range"] == [0, 4095]
    stated = {**folder, "value_range": [0, 99]}
    assert build_data.with_value_range(stated, (0, 4095)) == stated


def test_what_came_with_a_folder_is_checked_and_fetches_nothing() -> None:
    node = {"_target_": "ssl_patches.data.TorchvisionSource", "name": "MNIST", "root": "x"}
    kept = build_data._of_somebody({**node, "download": True}, trusted("data"))
    assert kept == node
    for changed in ({"root": {"_target_": "os.getcwd"}}, {"root": 3}, {"split": "val"}, {"a": 1}):
        with pytest.raises(ValueError, match=r"^data\."):
            build_data._of_somebody({**node, **changed}, trusted("data"))
    live = {"_target_": LIVE, "name": "mine"}
    cfg = {"data": live, "image_size": 32}
    with pytest.raises(ValueError, match="was a Dataset object of the program"):
        build_data.source(cfg, "train", whole=True, allowed=trusted("data"))
