"""A format whose library is missing is said, with what to install, and never taken for damage."""

from __future__ import annotations

import io

import numpy as np
import pytest

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.dicom import DicomReader
from ssl_patches.data.formats import READERS, reader_in
from ssl_patches.data.headers import header
from ssl_patches.data.heif import HeicReader
from ssl_patches.data.suffixes import UNREAD
from ssl_patches.data.walk import find_images


@pytest.mark.parametrize("kind", [DicomReader, HeicReader])
def test_without_its_library_files_are_left_out_with_the_remedy(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(kind, "is_there", lambda self: False)
    suffix = kind.suffixes[0]
    for name in ("a", "b"):
        (tmp_path / f"{name}{suffix}").write_bytes(b"x")
    found = find_images(str(tmp_path))
    assert found.images == []
    (left,) = found.left
    assert (left.count, left.what) == (2, "files")
    assert f"ssl-patches[{kind.extra}]" in left.why


def test_one_that_is_named_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(DicomReader, "is_there", lambda self: False)
    path = tmp_path / "a.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 99)
    with pytest.raises(UnreadableImage, match=r"pip install 'ssl-patches\[dicom\]'"):
        header(str(path))


def test_no_suffix_is_read_and_not_read():
    assert not {suffix for reader in READERS for suffix in reader.suffixes} & set(UNREAD)


def test_content_tells_the_format_whatever_the_name(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((4, 4), np.uint8))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.npz").read_bytes())
    assert header(str(tmp_path / "a.png"), channels=1) == (4, 4)
    assert reader_in(io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(140))) is None
