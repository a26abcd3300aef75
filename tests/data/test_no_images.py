"""What this program and others leave is nobody's image."""

from __future__ import annotations

from pathlib import Path

import pytest
from empty_files import names, put
from PIL import Image

from ssl_patches.data.no_images import DRAWN, LEAVINGS, UNNAMED
from ssl_patches.data.walk import find_images
from ssl_patches.training.figures.page import Column, save_page


def test_what_we_and_others_leave_is_never_an_image(tmp_path: Path) -> None:
    before = ["cat/1.png", "dog/2.png"]
    put(tmp_path, *before)
    put(tmp_path, "dry_run.png", "dry_run-2.png", *(f"cat/{name}/1.png" for name in LEAVINGS))
    put(tmp_path, "runs/one/config.yaml", "runs/one/checkpoints/last.ckpt")
    put(tmp_path, "runs/one/figures/jigsaw.png", "export/ssl_patches.json", "export/x.png")
    put(tmp_path, "kept/about.json", "kept/images.npy", "cat/._1.png", ".git/logo.png")
    assert names(tmp_path) == before
    ours = next(each for each in find_images(str(tmp_path)).left if "ssl-patches" in each.why)
    assert ours.count == 5


def test_our_figures_say_that_they_are_ours_and_others_of_that_name_are_images(
    tmp_path: Path,
) -> None:
    import torch

    save_page(tmp_path / "health.png", [Column("x", torch.zeros(1, 3, 4, 4))], "title")
    for name in DRAWN:
        (tmp_path / name).write_bytes((tmp_path / "health.png").read_bytes())
        put(tmp_path, f"a/{name}")
    assert names(tmp_path) == sorted(f"a/{name}" for name in DRAWN)


@pytest.mark.parametrize("ending", ["", ".apng", ".jpg_large", ".bak", ".DAT"])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_images_by_other_names_are_told(tmp_path: Path, ending: str, form: str) -> None:
    """Never used, as their names say nothing; never without a word, as their bytes do."""
    put(tmp_path, "1.png", *(f"a/notes{at}.md" for at in range(3)))
    for at in range(4):
        Image.new("RGB", (9, 9)).save(tmp_path / "a" / f"{at}{ending}", form)
    found = find_images(str(tmp_path))
    assert [file.path for file in found.images] == ["1.png"]
    assert [(each.count, each.example, each.why) for each in found.left] == [
        (4, f"a/0{ending}", UNNAMED)
    ]
