"""A run says whose mean and deviation it normalises by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small import SMALL

from ssl_patches import config
from ssl_patches.config.run_dir import CONFIG
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training.statistics import with_statistics


def asked(*words: str) -> dict:
    return config.request("pretrain", [*SMALL, *words], supplied=SUPPLIED, schema=PRETRAIN)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    folder = tmp_path / "first" / "encoder"
    folder.mkdir(parents=True)
    traits = {"mean": [0.1, 0.2, 0.3], "std": [0.03, 0.04, 0.05]}
    (folder / "config.json").write_text(json.dumps({"pretrained_cfg": traits}))
    card = {"preprocessing": {"stored_range": [0, 4095]}}
    (folder / "ssl_patches.json").write_text(json.dumps(card))
    (folder / "model.safetensors").touch()
    return f"encoder.pretrained={tmp_path / 'first'}"


def test_weights_bring_theirs_where_none_are_stated(weights: str) -> None:
    cfg, told = with_statistics(asked(weights))
    assert cfg["data"]["statistics"] == {"mean": [0.1, 0.2, 0.3], "std": [0.03, 0.04, 0.05]}
    assert "mean 0.100/0.200/0.300" in told[0]
    assert "was trained with data.value_range=[0,4095], and this run has none" in told[1]
    cfg, told = with_statistics(asked("encoder.pretrained=true"))
    assert cfg["data"]["statistics"]["mean"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("stated", ["imagenet", "{mean:[0.5,0.5,0.5],std:[0.5,0.5,0.5]}"])
def test_stated_ones_count_and_the_difference_is_said(weights: str, stated: str) -> None:
    cfg = asked(weights, f"data.statistics={stated}")
    found, told = with_statistics(cfg)
    assert found == cfg
    assert "was trained with mean 0.100/0.200/0.300" in told[0]
    assert "leave data.statistics out" in told[0]


def test_without_weights_or_with_imagenets_nothing_is_said_or_changed() -> None:
    for cfg in (
        asked(),
        asked("encoder=resnet18", "encoder.options={}", "encoder.pretrained=true"),
    ):
        assert with_statistics(cfg) == (cfg, [])


def test_a_resumed_run_keeps_what_it_had(weights: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    before = asked(f"run_dir={run}")
    for statistics in (None, {"mean": [0.4] * 3, "std": [0.2] * 3}):
        data = {**before["data"], **({"statistics": statistics} if statistics else {})}
        config.save({**before, "data": data}, run / CONFIG)
        cfg, told = with_statistics(asked(weights, f"run_dir={run}", "resume=true"))
        assert (cfg["data"].get("statistics"), told) == (statistics, [])
