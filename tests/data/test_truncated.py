"""Pillow refuses files that end early, whatever the program told it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode
from ssl_patches.data.truncated import truncated_refused

quiet = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {}),
        ("p.jpg", {"progressive": True}),
        ("a.png", {}),
        ("a.webp", {}),
        ("a.gif", {}),
        ("a.bmp", {}),
    ],
)
@given(share=st.floats(0, 1, exclude_max=True))
@quiet
def test_a_truncated_file_is_an_error_or_whole(
    tmp_path: Path, name: str, options: dict, share: float
) -> None:
    """However much is cut off, no picture with a missing part comes back."""
    noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    whole = stored(tmp_path, noise, name, **options)
    data = Path(whole).read_bytes()
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(data[: int(share * len(data))])
    if failure(lambda path: decode(path, channels=3, size=48), str(cut)) is None:
        assert np.array_equal(shown(str(cut), size=48), shown(whole, size=48))


def test_an_import_that_allows_truncated_images_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(
        stored(
            tmp_path,
            np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8),
            "a.jpg",
        )
    )
    path.write_bytes(path.read_bytes()[:2000])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert Image.open(path).convert("RGB").size == (64, 64)  # the fault guarded against
    with pytest.raises(UnreadableImage, match="truncated"):
        decode(str(path), channels=3, size=64)


def test_what_the_program_told_pillow_stands_again_after_the_last_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with truncated_refused():
        with truncated_refused():
            assert not ImageFile.LOAD_TRUNCATED_IMAGES
        assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert ImageFile.LOAD_TRUNCATED_IMAGES
