"""What is read out of the first bytes of a file is what Pillow says, or nothing."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image, PngImagePlugin

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.glance import BEGIN, glance
from ssl_patches.data.headers import header


def files() -> dict[str, bytes]:
    """Small files of every kind that is, or nearly is, plain."""
    found = {}
    picture = Image.effect_noise((37, 23), 40)
    for name, mode, form, options in [
        ("grey.jpg", "L", "JPEG", {}),
        ("rgb.jpg", "RGB", "JPEG", {"quality": 90}),
        ("progressive.jpg", "RGB", "JPEG", {"progressive": True, "dpi": (72, 72)}),
        ("cmyk.jpg", "CMYK", "JPEG", {}),
        ("comment.jpg", "RGB", "JPEG", {"comment": b"made by hand"}),
        ("icc.jpg", "RGB", "JPEG", {"icc_profile": b"p" * 300}),
        ("exif.jpg", "RGB", "JPEG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0", "dpi": (72, 72)}),
        ("camera.jpg", "RGB", "JPEG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),
        ("restart.jpg", "RGB", "JPEG", {"restart_marker_blocks": 2}),
        ("rgb.png", "RGB", "PNG", {}),
        ("grey.png", "L", "PNG", {"dpi": (72, 72)}),
        ("bits.png", "1", "PNG", {}),
        ("palette.png", "P", "PNG", {}),
        ("deep.png", "I;16", "PNG", {}),
        ("clear.png", "RGBA", "PNG", {}),
        ("x.bmp", "RGB", "BMP", {}),
    ]:
        content = io.BytesIO()
        picture.convert("I" if mode == "I;16" else mode).convert(mode).save(
            content, form, **options
        )
        found[name] = content.getvalue()
    notes = PngImagePlugin.PngInfo()
    notes.add_text("by", "hand")
    content = io.BytesIO()
    picture.save(content, "PNG", pnginfo=notes)
    return {**found, "text.png": content.getvalue()}


FILES = files()
PLAIN = {name for name in FILES if name.endswith((".jpg", ".png"))}
PLAIN -= {"cmyk.jpg", "camera.jpg", "palette.png", "text.png"}


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
        if found is not None:
            with open(path, "wb") as file:
                file.write(content)
            assert said(path) == found


def test_pixels_that_another_program_forbids_are_left_to_pillow(monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 37 * 23 - 1)
    assert glance(FILES["rgb.png"]) is None
