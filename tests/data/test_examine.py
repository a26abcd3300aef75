"""One file is looked at as training reads it."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from ssl_patches.data.examine import Examination, stored_values
from ssl_patches.data.files import Reading
from ssl_patches.data.traits import Traits, traits_of


def test_sound_and_damaged_files_are_told_apart(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    good, torn, gone = (str(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    Image.fromarray(pixels).save(good)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[: len(content) // 2])
    found = Examination([good, torn, gone], reading=Reading(), size=16)
    assert len(found) == 3
    assert found[0].reason is None
    assert found[0].digest == hashlib.sha256(content).hexdigest()
    assert "truncated" in found[1].reason
    assert (found[2].digest, bool(found[2].reason)) == ("", True)


def test_traits_are_those_of_the_header_and_never_raise(tmp_path):
    Image.new("LA", (4, 4)).save(tmp_path / "a.png")
    assert traits_of(str(tmp_path / "a.png")) == Traits("PNG", "LA", 1)
    np.save(tmp_path / "b.npy", np.zeros((5, 4, 4), np.uint16))
    assert traits_of(str(tmp_path / "b.npy")) == Traits("NPY", "array", 4)
    (tmp_path / "c.jpg").write_text("no picture")
    assert traits_of(str(tmp_path / "c.jpg")).mode == "unreadable"


def test_only_files_of_more_than_8_bits_have_stored_values(tmp_path):
    deep, flat = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    Image.fromarray(np.array([[7, 4095], [9, 10]], np.uint16)).save(deep)
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(flat)
    assert stored_values(deep, Reading(channels=1)) == (7, 4095)
    assert stored_values(flat, Reading(channels=1)) is None
    assert stored_values(str(tmp_path / "gone.png"), Reading()) is None
