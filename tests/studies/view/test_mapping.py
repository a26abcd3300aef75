"""The map of a run: made once, kept under what decides it, and never written into the run."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.studies.view import kept, mapping
from ssl_patches.studies.view.jobs import Computation
from ssl_patches.studies.view.mapping import NEAREST, PLACED_BY, run_map
from ssl_patches.studies.view.request import view_request


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def made(run: Path, *words: str) -> mapping.RunMap:
    request = view_request([str(run), "data.num_workers=0", *words], config_dirs=[])
    return run_map(run, request, Computation("run", lambda _: None))


@pytest.fixture
def images(tmp_path) -> Path:
    """Two folders of 12 images of one colour each, and one that is damaged."""
    draw = np.random.default_rng(0)
    for name, colour in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
        (tmp_path / "images" / name).mkdir(parents=True)
        for at in range(12):
            pixels = np.clip(draw.normal(colour, 20, (40, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{at}.png")
    whole = (tmp_path / "images" / "red" / "0.png").read_bytes()
    (tmp_path / "images" / "red" / "0.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "images"


def of(images: Path, *words: str) -> tuple[str, ...]:
    return ("data=folder", f"data.root={images}", "data.max_corrupt=0.5", *words)


def test_neighbours_look_alike_and_a_dropped_image_finds_itself(run, images):
    before = contents(run)
    found = made(run, *of(images))
    points = found.points
    assert "red/0.png" not in points.names
    assert len(points.names) == len(points.thumbnails) == len(points.places)
    for point, name in enumerate(points.names):
        near = found.near(point)
        assert point not in near.which
        assert len(near.which) == min(NEAREST, len(points.names) - 1)
        assert points.names[near.which[0]].partition("/")[0] == name.partition("/")[0]
    path = images / points.names[4]
    pixels, near, place = found.near_image(path.read_bytes())
    assert pixels.shape == (3, 32, 32)
    assert near.which[0] == 4
    assert near.cosines[0] == pytest.approx(1, abs=1e-4)
    assert place in near.which[:PLACED_BY]
    assert contents(run) == before


def test_a_map_is_found_again_and_made_anew_for_other_images_or_another_number(
    run, images, monkeypatch
):
    first = made(run, *of(images))
    read = []
    making = mapping._points
    monkeypatch.setattr(mapping, "_points", lambda *a, **k: read.append(1) or making(*a, **k))
    again = made(run, *of(images))
    assert not read
    np.testing.assert_array_equal(first.points.vectors, again.points.vectors)
    assert first.points.thumbnails == again.points.thumbnails
    made(run, *of(images, "images=10"))
    assert len(read) == 1
    Image.new("RGB", (32, 40), (9, 99, 9)).save(images / first.points.names[2])
    assert made(run, *of(images)).points.thumbnails != first.points.thumbnails
    assert len(read) == 2


def test_a_sample_says_of_how_many_it_is_one(run, images):
    points = made(run, *of(images, "images=10")).points
    assert len(points.names) <= 10 < points.total


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_image_is_refused_by_the_decoder(run, images, content):
    with pytest.raises(UnreadableImage, match="the image"):
        made(run, *of(images)).near_image(content)


def test_an_image_that_states_too_many_pixels_is_not_decoded(run, images):
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "png")
    header = b"IHDR" + struct.pack(">II", 50_000, 50_000) + out.getvalue()[24:29]
    content = out.getvalue()[:12] + header + struct.pack(">I", zlib.crc32(header))
    with pytest.raises(UnreadableImage, match="50000 x 50000 pixels, at most"):
        made(run, *of(images)).near_image(content + out.getvalue()[33:])


def test_images_that_are_gone_are_named_with_the_key(run, tmp_path):
    with pytest.raises(ValueError, match=r"data\.root=.*gone"):
        made(run, *of(tmp_path / "gone"))


def test_without_an_encoder_the_command_that_exports_is_named(write_run, tmp_path):
    bare = write_run(tmp_path / "bare", linear_top1=1.0)
    with pytest.raises(ValueError, match="ssl-patches export model="):
        made(bare, "data=embedded")


def test_where_the_images_cannot_be_recognised_nothing_is_kept(run, images, monkeypatch):
    from ssl_patches.data.folder import FolderSource

    monkeypatch.setattr(FolderSource, "kept_key", lambda _: "")
    monkeypatch.setattr(kept, "keep_points", lambda *_: pytest.fail("kept"))
    assert len(made(run, *of(images)).points.names)
