"""Small files of every kind that is, or nearly is, a plain JPEG or PNG."""

from __future__ import annotations

import io

from PIL import Image, PngImagePlugin


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
