"""A look at a folder finds what a run would leave out, and what it would read otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data import survey
from ssl_patches.data.survey import look


def drawn(root: Path, *names: str) -> None:
    """Write grey pictures of noise, 40 by 30 pixels."""
    draw = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (30, 40), dtype=np.uint8)).save(root / name)


def seen(root: Path) -> survey.Survey:
    return look(str(root), channels=None, value_range=None, workers=0)


def test_damage_of_header_and_of_pixels_is_found_and_the_rest_is_read(tmp_path: Path) -> None:
    drawn(tmp_path, "train/0.png", "train/1.png", "train/cut.jpg", "train/no.jpg", "val/0.png")
    whole = (tmp_path / "train/cut.jpg").read_bytes()
    (tmp_path / "train/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "train/no.jpg").write_bytes(b"not an image")
    found = seen(tmp_path)
    assert set(found.damaged) == {"train/cut.jpg", "train/no.jpg"}
    assert {path for path, one in found.examined.items() if one.reason is None} == {
        "train/0.png",
        "train/1.png",
        "val/0.png",
    }
    assert (found.reading.channels, found.image_size) == (1, 32)
    assert found.side_of["val/0.png"] == "val"


def test_an_image_of_which_a_run_sees_a_thumbnail_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(tmp_path, "0.png", "1.png")
    monkeypatch.setattr(survey, "HUGE_PIXELS", 40 * 30)
    found = seen(tmp_path)
    assert set(found.huge) == {"0.png", "1.png"}
    assert found.damaged == {}
