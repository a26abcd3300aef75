"""Weights say how images were prepared for them, where anybody knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ssl_patches.encoders.exported import ExportMismatch, stored_range_of
from ssl_patches.encoders.prepared import PreparedFor, prepared_for


def export(folder: Path, **card: object) -> Path:
    folder.mkdir(parents=True)
    traits = {"mean": [0.1], "std": [0.03]}
    (folder / "config.json").write_text(json.dumps({"pretrained_cfg": traits}))
    (folder / "ssl_patches.json").write_text(json.dumps(card))
    (folder / "model.safetensors").touch()
    return folder


def test_timms_weights_bring_what_timm_says() -> None:
    found = prepared_for(True, "vit_tiny_patch16_224")
    assert found is not None
    assert found.mean == found.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "card",
    [
        {"preprocessing": {"stored_range": [0, 4095]}},
        {"config": {"data": {"value_range": [0, 4095]}}},  # of before
    ],
)
@pytest.mark.parametrize("place", ["", "encoder", "encoder/model.safetensors"])
def test_a_run_an_export_and_its_weights_bring_theirs(
    tmp_path: Path, card: dict, place: str
) -> None:
    export(tmp_path / "run" / "encoder", **card)
    found = prepared_for(str(tmp_path / "run" / place), "resnet18")
    assert found == PreparedFor((0.1,), (0.03,), (0, 4095))


def test_a_bare_state_dict_says_nothing(tmp_path: Path) -> None:
    assert prepared_for(str(tmp_path / "mae.pth"), "resnet18") is None
    export(tmp_path / "torn")
    (tmp_path / "torn" / "config.json").write_text("{")
    assert prepared_for(str(tmp_path / "torn"), "resnet18") is None


def test_public_networks_known_by_their_tensors_bring_what_they_were_trained_with(
    tmp_path: Path,
) -> None:
    for names, mean in (
        (("features.0.0.weight", "features.1.conv.0.0.weight"), (0.485, 0.456, 0.406)),
        (("_conv_stem.weight", "_blocks.0._depthwise_conv.weight"), (0.5, 0.5, 0.5)),
    ):
        torch.save(dict.fromkeys(names, torch.zeros(1)), tmp_path / "net.pth")
        found = prepared_for(str(tmp_path / "net.pth"), "resnet18")
        assert found is not None
        assert found.mean == mean
    (tmp_path / "net.pth").write_bytes(b"torn")
    assert prepared_for(str(tmp_path / "net.pth"), "resnet18") is None


def test_for_other_channels_they_are_averaged() -> None:
    found = PreparedFor((0.25, 0.5, 0.75), (0.1, 0.2, 0.3))
    assert found.of(3) == ([0.25, 0.5, 0.75], [0.1, 0.2, 0.3])
    assert found.of(2)[0] == [0.5, 0.5]


@pytest.mark.parametrize("said", ["0,4095", [5, 5], [0], [0, "x"], {"a": 1}, [float("nan"), 1]])
def test_a_card_that_states_no_range_is_refused(said: object) -> None:
    with pytest.raises(ExportMismatch, match=r"stored_range is .*export again"):
        stored_range_of({"preprocessing": {"stored_range": said}})
