"""A part of a slide is what its tiles hold; where nothing was scanned it is transparent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data.huge.slide import SlideImage

pytest.importorskip("openslide", reason="the extra [slides] is not installed")
PIXELS = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def slide(tmp_path_factory) -> str:
    """Such as a scanner of Aperio writes: tiles, and a level of a quarter of the size."""
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path_factory.mktemp("slides") / "a.svs"
    options = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, description="Aperio Image Library v1\n400x300|AppMag = 20", **options)
        writer.write(PIXELS[::4, ::4], description="Aperio Image Library v1\n100x75", **options)
    return str(path)


def test_a_part_holds_the_pixels_of_the_slide(slide: str) -> None:
    image = SlideImage(slide, channels=3)
    assert image.levels == ((400, 300), (100, 75))
    assert image.block == (64, 64)
    part = image.read((30, 50, 100, 120))
    assert part.alpha is None
    assert np.array_equal(part.values, PIXELS[30:130, 50:170].transpose(2, 0, 1))
    small = image.read((5, 10, 20, 30), 1).values
    assert np.array_equal(small, PIXELS[::4, ::4][5:25, 10:40].transpose(2, 0, 1))
    image.close()


def test_a_slide_has_three_channels(slide: str) -> None:
    with pytest.raises(ValueError, match=r"set data\.channels=3"):
        SlideImage(slide, channels=5)


def test_a_file_that_is_no_slide_is_damage(tmp_path: Path) -> None:
    from ssl_patches.data.damage import UnreadableImage
    from ssl_patches.data.huge.image import failures_of

    (tmp_path / "a.svs").write_bytes(b"no slide at all")
    with pytest.raises(UnreadableImage, match=r"a\.svs"), failures_of(str(tmp_path / "a.svs")):
        SlideImage(str(tmp_path / "a.svs"), channels=3)
