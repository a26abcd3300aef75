"""Only known formats are opened, by content and not by name; a few bytes never take all memory."""

from __future__ import annotations

import ast
import io
import os

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image
from small import REPOSITORY

from ssl_patches.data import opening
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode
from ssl_patches.data.formats import READERS
from ssl_patches.data.headers import header
from ssl_patches.data.huge.flat import FlatImage
from ssl_patches.data.opening import FORMATS, check_bytes, check_extent, open_image
from ssl_patches.data.shards.members import Members, keep_members, read_members
from ssl_patches.data.suffixes import SUFFIXES

ANOTHERS = {suffix for reader in READERS for suffix in reader.suffixes}  # have tests of their own
NOT_READ = ("EPS", "PDF", "ICO", "PCX", "SGI", "XBM", "IM")


@pytest.mark.parametrize("form", NOT_READ)
def test_another_format_under_an_image_name_is_unreadable(form, tmp_path, monkeypatch):
    path = str(tmp_path / "a.png")
    Image.new("1" if form == "XBM" else "RGB", (8, 8)).save(path, form)
    ran = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given: ran.append(given))
    for read in (header, lambda path: decode(path, channels=3, size=8)):
        with pytest.raises(UnreadableImage, match=r"cannot identify image file$"):
            read(path)
    assert ran == []


def test_every_suffix_that_is_listed_can_still_be_read(tmp_path):
    Image.init()
    for suffix in set(SUFFIXES) - {".npy", *ANOTHERS}:
        form = Image.EXTENSION.get(suffix, "PPM")
        assert form in (*FORMATS, "MPO"), suffix
        Image.new("RGB", (8, 8), "red").save(tmp_path / f"a{suffix}", form)
        with open_image(str(tmp_path / f"a{suffix}")) as image:
            assert image.size == (8, 8)


def test_nobody_else_opens_images_with_all_of_pillow():
    found = [
        path.name
        for path in (REPOSITORY / "ssl_patches").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
    ]
    assert found == ["opening.py"]


def test_a_pipe_named_image_is_unreadable(tmp_path):
    for name in ("a.png", "a.jpg", "a.npy", "a.tif"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UnreadableImage, match="no ordinary file"):
            header(str(tmp_path / name))
        with pytest.raises(UnreadableImage, match="no ordinary file"):
            decode(str(tmp_path / name), channels=3, size=8)


def test_what_states_too_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as other programs do
    monkeypatch.setattr(opening, "LARGEST_PIXELS", 63)
    for form in ("png", "jpg", "bmp"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"a.{form}")
        with pytest.raises(UnreadableImage, match=r"8 x 8 pixels, at most 63 .*data=windows"):
            decode(str(tmp_path / f"a.{form}"), channels=3, size=8)
    with pytest.raises(ValueError, match="data=windows"):
        check_extent(2**20, 2**20)


def test_an_array_that_states_more_than_memory_is_not_read(tmp_path):
    content = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (2**16, 2**17, 3)}
    np.lib.format.write_array_header_1_0(content, shape)
    (tmp_path / "a.npy").write_bytes(content.getvalue())
    with pytest.raises(UnreadableImage):
        header(str(tmp_path / "a.npy"))
    with pytest.raises(ValueError, match="at most"):
        check_bytes((2**16, 2**17, 3), 1)


def test_one_thread_at_a_time_has_numpy_read_headers(tmp_path, monkeypatch):
    """CPython 3.11 now and then fails with a SystemError where two do (python/cpython#106905)."""
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 3), np.uint8))
    none = np.zeros(0, np.int64)
    table = Members(none, none, none, none.astype(np.uint8), b"", [])
    keep_members(table, tmp_path / "kept.npz")
    alone, load = [], np.load

    def watched(*given, **options):
        alone.append(opening.PARSING.locked())
        return load(*given, **options)

    monkeypatch.setattr(np, "load", watched)
    header(str(tmp_path / "a.npy"))
    FlatImage(str(tmp_path / "a.npy"), channels=3)
    assert read_members(tmp_path / "kept.npz") is not None
    assert alone == [True] * 3
