"""``ssl-patches duplicates``: planted copies and odd images are found, others are not."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from networks import proven_in_this_process, write
from PIL import Image, ImageEnhance

from ssl_patches.cli import main


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An export, and 60 smooth images with copies of three, of three kinds, and one of noise."""
    folder, draw = tmp_path_factory.mktemp("world"), np.random.default_rng(0)
    with proven_in_this_process():
        write("vit", folder / "encoder")
    (folder / "images").mkdir()
    for at in range(60):
        small = Image.fromarray(draw.integers(60, 180, (5, 5, 3), dtype=np.uint8))
        image = small.resize((64, 64), Image.Resampling.BICUBIC)
        image.save(folder / "images" / f"{at:02}.png")
        if at == 0:
            image.save(folder / "images" / "copy00.jpg", quality=60)
        if at == 1:
            image.crop((1, 1, 63, 63)).save(folder / "images" / "copy01.jpg", quality=95)
        if at == 2:
            bright = ImageEnhance.Brightness(image).enhance(1.05)
            bright.save(folder / "images" / "copy02.jpg", quality=95)
    noise = draw.integers(0, 2, (64, 64, 3), dtype=np.uint8) * 255
    Image.fromarray(noise).save(folder / "images" / "odd.png")
    return folder


@pytest.fixture(autouse=True)
def here(world, monkeypatch):
    monkeypatch.chdir(world)


WORDS = ("duplicates", "data.root=images", "model=encoder", "data.num_workers=0")


def test_planted_copies_and_an_odd_image_are_found_and_no_others(world, capsys):
    assert main([*WORDS, "output=a.csv", "--json"]) == 0
    rows = list(csv.DictReader((world / "a.csv").open()))
    pairs = {tuple(sorted((r["path"], r["of"]))) for r in rows if r["finding"] == "copy"}
    assert pairs == {(f"{at:02}.png", f"copy{at:02}.jpg") for at in range(3)}
    assert [r["path"] for r in rows if r["finding"] == "outlier"] == ["odd.png"]
    found = json.loads(capsys.readouterr().out)
    assert (found["copies"], found["outliers"], found["images"]) == (3, 1, 64)
    assert main([*WORDS, "output=a.csv"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*WORDS, "output=a.csv", "overwrite=true"]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["output=a.txt"], "output=a.txt: must end in .csv"),
        (["output=no/a.csv"], "there is no folder no"),
        (["output=c.csv", "similarity=2"], "similarity=2: must be above 0, at most 1"),
        (["output=c.csv", "neighbours=0"], "neighbours=0: must be 1 to 1000"),
        (["output=c.csv", "outlier=0"], "outlier=0: must be above 0"),
        (["output=c.csv", "splits=[]"], "must name each split once"),
        (["output=c.csv", "similarty=0.5"], "did you mean 'similarity'"),
        (["output=c.csv", "data.root=nowhere"], "data.root=nowhere"),
    ],
)
def test_a_bad_request_is_told_and_writes_nothing(words, told, world, capsys):
    before = sorted(world.iterdir())
    assert main([*WORDS, *words]) == 2
    assert told in capsys.readouterr().err
    assert sorted(world.iterdir()) == before


def test_a_file_of_somebody_else_is_not_replaced(world, capsys):
    (world / "mine.csv").write_text("precious")
    assert main([*WORDS, "output=mine.csv", "overwrite=true"]) == 2
    assert "something else" in capsys.readouterr().err
    assert (world / "mine.csv").read_text() == "precious"
