"""What was not typed is chosen for the images of a folder, and said; what was typed stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_patches import config
from ssl_patches.config import mixture
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.run_dir import CONFIG
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training.request import request_run


def test_a_folder_alone_is_enough(small_photographs: Path) -> None:
    cfg, said = request_run(["data=folder", f"data.root={small_photographs}"], config_dirs=())
    assert cfg["task"]["_target_"].endswith("Agree")
    assert cfg["data"]["batch_size"] == 8
    assert "experiment=few_images" in said
    assert "data.batch_size=8" in said


def test_what_is_typed_wins(small_photographs: Path) -> None:
    words = ["data=folder", f"data.root={small_photographs}", "task=jigsaw", "data.batch_size=4"]
    cfg, said = request_run(words, config_dirs=())
    assert cfg["task"]["_target_"].endswith("Jigsaw")
    assert cfg["data"]["batch_size"] == 4
    assert cfg["optimizer"]["base_lr"] == 2e-3
    assert "batch_size" not in said


@pytest.mark.parametrize("chosen", [True, False])
def test_a_resumed_run_keeps_what_it_began_with(
    small_photographs: Path, tmp_path: Path, chosen: bool
) -> None:
    """Also a run of before there were choices."""
    words = ["data=folder", f"data.root={small_photographs}", "task=relative", "data.batch_size=8"]
    words += [f"run_dir={tmp_path}"]
    begun, _ = request_run(words, config_dirs=())
    if not chosen:
        begun = mixture.request(words, supplied=SUPPLIED, schema=PRETRAIN)
    config.save(begun, tmp_path / CONFIG)
    resumed, _ = request_run([*words, "resume=true"], config_dirs=())
    assert resumed["optimizer"] == begun["optimizer"]
    assert resumed["encoder"] == begun["encoder"]


def test_other_sources_are_taken_as_they_come() -> None:
    cfg, said = request_run([], config_dirs=())
    assert said == ""
    assert cfg["data"]["_target_"].endswith("EmbeddedSource")


def test_mistakes_are_told_before_any_image_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="image_siz: unknown key"):
        request_run(["data=folder", f"data.root={tmp_path}/none", "image_siz=3"], config_dirs=())
