"""What was not typed is chosen for the images of a folder, and said; what was typed stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.config.messages import BadRequest
from ssl_patches.training.request import request


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty small photographs."""
    root = tmp_path_factory.mktemp("images")
    for at in range(40):
        Image.fromarray(np.full((70, 80, 3), at, np.uint8)).save(root / f"{at}.png")
    return root


def test_a_folder_alone_is_enough(folder: Path) -> None:
    cfg, said = request(["data=folder", f"data.root={folder}"], config_dirs=())
    assert cfg["task"]["_target_"].endswith("Agree")
    assert cfg["data"]["batch_size"] == 8
    assert "experiment=few_images" in said
    assert "data.batch_size=8" in said


def test_what_is_typed_wins(folder: Path) -> None:
    words = ["data=folder", f"data.root={folder}", "task=jigsaw", "data.batch_size=4"]
    cfg, said = request(words, config_dirs=())
    assert cfg["task"]["_target_"].endswith("Jigsaw")
    assert cfg["data"]["batch_size"] == 4
    assert said == ""


def test_other_sources_are_taken_as_they_come() -> None:
    cfg, said = request([], config_dirs=())
    assert said == ""
    assert cfg["data"]["_target_"].endswith("EmbeddedSource")


def test_mistakes_are_told_before_any_image_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="image_siz: unknown key"):
        request(["data=folder", f"data.root={tmp_path}/none", "image_siz=3"], config_dirs=())
