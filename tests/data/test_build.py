"""Images and their statistics are built as a configuration says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_patches import config
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.data import build as build_data
from ssl_patches.sampler.patch_sampler import IMAGENET_MEAN, IMAGENET_STD


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
