"""What is read out of the first bytes of a file is what Pillow says, or nothing."""

from __future__ import annotations

import random
from zlib import crc32

import numpy as np
import pytest
from PIL import Image
from plain_files import FILES

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.glance import BEGIN, HEADER, _crc32_of_header, glance, glances
from ssl_patches.data.headers import header

PLAIN = {name for name in FILES if name.endswith((".jpg", ".png"))}
PLAIN -= {"cmyk.jpg", "camera.jpg", "palette.png", "text.png"}


def together(contents) -> list[tuple[int, int]]:
    """What ``glances`` says of some files."""
    return [(int(wide), int(high)) for wide, high in glances([bytes(each) for each in contents])]


def said(path: str) -> tuple[int, int] | None:
    try:
        return header(path)
    except UnreadableImage:
        return None


@pytest.mark.parametrize("name", FILES)
def test_plain_files_are_known_at_a_glance_and_others_left_to_pillow(name: str) -> None:
    assert glance(FILES[name][:BEGIN]) == ((37, 23) if name in PLAIN else None)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_whatever_is_damaged_pillow_says_the_same(name: str, tmp_path) -> None:
    draw, path = random.Random(name), str(tmp_path / name)
    for _ in range(150):
        content = bytearray(FILES[name])
        for _ in range(draw.choice([1, 1, 2, 8])):
            at = draw.randrange(min(len(content) + 1, 700))
            how = draw.randrange(4)
            if how == 0:
                content[at : at + 1] = [
                    draw.choice([0, 1, 0xFF, 0xD8, 0xDA, 0xE1, draw.randrange(256)])
                ]
            elif how == 1:
                del content[at : at + draw.choice([1, 2, 64])]
            elif how == 2:
                content[at:at] = draw.randbytes(draw.choice([1, 2, 20]))
            else:
                del content[at + 2 :]
        found = glance(bytes(content[:BEGIN]))
        assert together([content[:BEGIN]]) == [found or (0, 0)]
        if found is not None:
            with open(path, "wb") as file:
                file.write(content)
            assert said(path) == found


def test_many_are_known_as_one_by_one() -> None:
    contents = [content[:BEGIN] for content in FILES.values()] + [b"", FILES["rgb.png"][:40]]
    assert together(contents) == [glance(content) or (0, 0) for content in contents]


def test_a_png_of_impossible_extent_is_left_to_pillow() -> None:
    for extent in (b"\xff" * 8, b"\x80\0\0\0" * 2, b"\0\0\0\0\0\0\0\1"):
        content = bytearray(FILES["rgb.png"])
        content[16:24] = extent
        content[29:33] = crc32(content[12:29]).to_bytes(4, "big")
        assert together([content[:BEGIN]]) == [(0, 0)]


def test_pixels_that_another_program_forbids_are_left_to_pillow(monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 37 * 23 - 1)
    assert glance(FILES["rgb.png"]) is None
    assert together([FILES["rgb.png"][:BEGIN]]) == [(0, 0)]


def test_the_checksum_of_many_headers_is_that_of_zlib() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (HEADER, 500), np.uint8)
    wanted = [crc32(bytes(each)) for each in drawn.T]
    assert _crc32_of_header(drawn).tolist() == wanted
