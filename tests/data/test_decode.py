"""Each file becomes the square it shows, or an error; never something in between."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode
from ssl_patches.data.headers import header
from ssl_patches.data.stored import TRANSPOSE

quiet = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def smooth(height: int, width: int) -> np.ndarray:
    """A picture (h, w, 3) uint8 whose red tells y and whose green tells x."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y * 255 // height, x * 255 // width, np.full_like(x, 90)], -1).astype(np.uint8)


def stored(
    folder: Path, image: Image.Image | np.ndarray, name: str = "a.png", **options: object
) -> str:
    path = folder / name
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return str(path)


def shown(path: str, *, channels: int = 3, size: int) -> np.ndarray:
    return decode(path, channels=channels, size=size).permute(1, 2, 0).numpy()


def failure(read: Callable[[str], object], path: str) -> str | None:
    """Why ``read`` gave ``path`` up, None if it did not."""
    try:
        read(path)
    except UnreadableImage as error:
        return error.reason if error.path == path else ""
    return None


def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert np.array_equal(shown(stored(tmp_path, pixels), size=20), pixels)


@pytest.mark.parametrize(("height", "width"), [(20, 35), (35, 20)])
def test_of_an_oblong_image_the_middle_is_taken_without_resampling(
    tmp_path: Path, height: int, width: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    top, left = (height - 20) // 2, (width - 20) // 2
    assert np.array_equal(
        shown(stored(tmp_path, pixels), size=20), pixels[top : top + 20, left : left + 20]
    )


@pytest.mark.parametrize(("height", "width", "size"), [(64, 64, 20), (90, 60, 24), (10, 14, 32)])
def test_resizing_keeps_content_in_place(
    tmp_path: Path, height: int, width: int, size: int
) -> None:
    side = min(height, width)
    centre = (np.arange(size) + 0.5) * side / size
    got = shown(stored(tmp_path, smooth(height, width)), size=size).astype(float)
    tolerance = 255 / side + 2
    assert (
        np.abs(got[:, :, 0] - ((centre + (height - side) // 2) * 255 / height)[:, None]).max()
        < tolerance
    )
    assert (
        np.abs(got[:, :, 1] - ((centre + (width - side) // 2) * 255 / width)[None, :]).max()
        < tolerance
    )


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    """A one-pixel chessboard shrinks to grey; skipping pixels would leave black or white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(shown(stored(tmp_path, board), channels=1, size=16).astype(int) - 127).max() < 12


@pytest.mark.parametrize("channels", [1, 3])
def test_a_huge_jpeg_is_reduced_by_its_decoder_without_losing_detail(
    tmp_path: Path, channels: int
) -> None:
    """Stripes of 12 px out of 1200 x 1800 look at 256 px as if decoded in full; reduced too far
    they would fade."""
    picture = smooth(1200, 1800)
    picture[np.arange(1200) // 12 % 2 == 0] //= 3
    path = stored(tmp_path, picture, "big.jpg", quality=95)
    full = (
        Image.fromarray(picture)
        .crop((300, 0, 1500, 1200))
        .resize((256, 256), Image.Resampling.BILINEAR)
    )
    want = (
        np.asarray(full.convert("L" if channels == 1 else "RGB"))
        .reshape(256, 256, channels)
        .astype(int)
    )
    assert np.abs(shown(path, channels=channels, size=256) - want).mean() < 2


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_shows_the_grey_it_stores(tmp_path: Path, mode: str, channels: int) -> None:
    """A white half and a dark half, stored in every mode, come back as such in 1 and 3 channels."""
    if mode == "YCbCr" and int(PIL.__version__.partition(".")[0]) < 13:
        pytest.skip("Pillow before 13 cannot read the YCbCr TIFF that it writes")
    grey = np.full((16, 16), 255, np.uint8)
    grey[:8] = 0 if mode == "1" else 51
    deep = {
        "I;16": grey.astype(np.uint16) * 257,
        "I": grey.astype(np.int32) * 257,
        "F": grey.astype(np.float32) / 255,
    }
    image = Image.fromarray(deep[mode]) if mode in deep else Image.fromarray(grey).convert(mode)
    suffix = "tif" if mode in ("CMYK", "I", "F", "YCbCr") else "png"
    path = stored(tmp_path, image, f"a.{suffix}")
    got = shown(path, channels=channels, size=16)
    assert got.shape == (16, 16, channels)
    assert np.abs(got.astype(int) - grey[..., None]).max() <= 1


def test_a_cmyk_jpeg_shows_its_colour(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    got = shown(stored(tmp_path, red, "a.jpg", quality=95), size=16).astype(int)
    assert np.abs(got - [255, 0, 0]).max() <= 6


def test_a_palette_keeps_its_colours_and_their_luma(tmp_path: Path) -> None:
    path = stored(tmp_path, Image.new("RGB", (8, 8), (255, 0, 0)).convert("P"))
    assert shown(path, size=8)[0, 0].tolist() == [255, 0, 0]
    assert shown(path, channels=1, size=8)[0, 0].tolist() == [76]


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_transparent_is_white_whatever_colour_hides_there(
    tmp_path: Path, channels: int
) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 0] = 200
    pixels[:4, :, 3] = 255
    got = shown(stored(tmp_path, pixels), channels=channels, size=8)
    assert (got[4:] == 255).all()
    assert got[0, 0].tolist() == ([200, 0, 0] if channels == 3 else [60])


def test_a_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.uint8([[0, 1], [0, 1]]))
    image.putpalette([200, 0, 0, 0, 200, 0])
    assert shown(stored(tmp_path, image, transparency=1), size=2)[0].tolist() == [
        [200, 0, 0],
        [255, 255, 255],
    ]


@pytest.mark.parametrize(("values", "said"), [([0, 70000], "0..65535"), ([-1, 5], "0..65535")])
def test_integers_without_a_known_range_are_refused(
    tmp_path: Path, values: list[int], said: str
) -> None:
    path = stored(tmp_path, Image.fromarray(np.array([values, values], np.int32)), "a.tif")
    with pytest.raises(UnreadableImage, match=said):
        decode(path, channels=1, size=2)


@pytest.mark.parametrize("value", [1.5, -0.1])
def test_floats_beyond_0_to_1_are_refused(tmp_path: Path, value: float) -> None:
    path = stored(tmp_path, Image.fromarray(np.array([[0, value], [0, 1]], np.float32)), "a.tif")
    with pytest.raises(UnreadableImage, match=r"0\.\.1"):
        decode(path, channels=1, size=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_the_orientation_is_applied_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    image, exif = Image.fromarray(smooth(24, 24)), Image.Exif()
    exif[0x0112] = orientation
    path = stored(
        tmp_path,
        image,
        f"a.{suffix}",
        exif=exif,
        **({"lossless": True} if suffix == "webp" else {}),
    )
    upright = image.transpose(TRANSPOSE[orientation]) if orientation > 1 else image
    assert np.array_equal(shown(path, size=24), np.asarray(upright))


def test_damaged_metadata_beside_sound_pixels_is_ignored(tmp_path: Path) -> None:
    path = stored(tmp_path, smooth(16, 16), "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff")
    assert shown(path, size=16).shape == (16, 16, 3)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp", "a.tif", "a.ppm"])
@given(
    at=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    )
)
@quiet
def test_overwritten_bytes_raise_nothing_but_the_one_error(
    tmp_path: Path, name: str, at: list
) -> None:
    data = bytearray(Path(stored(tmp_path, smooth(16, 24), name)).read_bytes())
    for share, value in at:
        data[int(share * min(len(data), 200))] = value
    hit = tmp_path / f"hit_{name}"
    hit.write_bytes(data)
    for read in (header, lambda path: decode(path, channels=3, size=16)):
        reason = failure(read, str(hit))
        assert reason is None or (reason and "\n" not in reason)


def jpeg(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, quality=90, **options)
    return path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_plain_jpeg_has_pillows_pixels(
    tmp_path: Path, monkeypatch, channels: int, mode: str, options: dict
) -> None:
    """By a decoder that is quicker; where it is resized, by at most a level of 255 more or less."""
    extent = (135, 60) if mode == "RGB" else (60, 135)  # a tall and a wide one
    noise = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 9), extent, mode="bicubic")
    noise = noise[0].clamp(0, 1)
    image = Image.fromarray((noise * 255).byte().permute(1, 2, 0).numpy()).convert(mode)
    path = str(jpeg(tmp_path / "a.jpg", image, **options))
    same, smaller = (decode(path, channels=channels, size=size) for size in (60, 41))
    monkeypatch.setattr(sys.modules["ssl_patches.data.decode"], "_decoded", lambda *_: None)
    assert torch.equal(same, decode(path, channels=channels, size=60))
    difference = (smaller.int() - decode(path, channels=channels, size=41).int()).abs()
    assert difference.max() <= 1
    assert difference.float().mean() < 0.3


def test_a_jpeg_that_ends_early_is_refused_in_pillows_words(tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", Image.effect_noise((64, 64), 60).convert("RGB"))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(UnreadableImage, match="truncated"):
        decode(str(path), channels=3, size=64)


def test_an_orientation_in_xmp_is_applied_too(tmp_path: Path) -> None:
    image = Image.fromarray(smooth(24, 24))
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    turned = decode(str(jpeg(tmp_path / "a.jpg", image, xmp=xmp)), channels=3, size=24)
    plain = decode(str(jpeg(tmp_path / "b.jpg", image)), channels=3, size=24)
    assert torch.equal(turned, plain.rot90(-1, (1, 2)))


@pytest.mark.parametrize("extent", [(1100, 300), (300, 1100), (128, 128), (127, 500)])
def test_pillow_halves_large_jpegs_but_not_below_twice_the_size(
    tmp_path: Path, monkeypatch, extent: tuple[int, int]
) -> None:
    """Those below four times the size are not its work: a quicker decoder has them."""
    module, seen = sys.modules["ssl_patches.data.decode"], []
    by_pillow = module.square_of
    monkeypatch.setattr(
        module, "square_of", lambda image, **how: seen.append(image.size) or by_pillow(image, **how)
    )
    decode(str(jpeg(tmp_path / "a.jpg", Image.new("RGB", extent))), channels=3, size=32)
    assert len(seen) == (min(extent) >= 4 * 32)
    assert all(2 * 32 <= min(found) < 4 * 32 for found in seen)


def test_the_bytes_of_any_file_are_read_whatever_their_name_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    stored(tmp_path, pixels, "a.png")
    for name, other in (("a.npy", "a.png"), ("a.png", "a.npy")):
        content = (tmp_path / name).read_bytes()
        found = decode(str(tmp_path / other), channels=3, size=9, data=content)
        assert np.array_equal(found.permute(1, 2, 0), pixels)


def test_what_is_kept_is_keyed_by_the_libraries_that_are_there(monkeypatch) -> None:
    module = sys.modules["ssl_patches.data.decode"]
    monkeypatch.setattr(module, "OPTIONAL", ("numpy", "is-not-there"))
    rules, *found = module._versions().split()
    libraries = [PIL.__version__, module.simplejpeg.__version__, "numpy", np.__version__]
    assert (rules, found) == (str(module.RULES), libraries)
