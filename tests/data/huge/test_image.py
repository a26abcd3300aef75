"""What any reader's library raises on damage is one error; a bug of ours is not hidden by it."""

from __future__ import annotations

import pytest
import tifffile

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.huge.image import LARGEST_SEGMENT, check_segment, failures_of


@pytest.mark.parametrize("error", [tifffile.TiffFileError("no"), OSError("no"), ValueError("no")])
def test_what_libraries_raise_is_damage_with_its_reason(error: Exception) -> None:
    with pytest.raises(UnreadableImage, match=r"a\.tif: no"), failures_of("a.tif"):
        raise error


def test_another_error_passes() -> None:
    with pytest.raises(AssertionError), failures_of("a.tif"):
        raise AssertionError


def test_a_piece_that_takes_too_much_memory_is_refused_with_how_to_store_it() -> None:
    check_segment(LARGEST_SEGMENT, "strips")
    with pytest.raises(ValueError, match="store it in tiles: vips"):
        check_segment(LARGEST_SEGMENT + 1, "strips")
