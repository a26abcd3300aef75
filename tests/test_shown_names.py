"""What is printed is of the command: no name of a file, class, column or run, and no message of a
stranger's file passes for a line of it, or acts on the terminal."""

from __future__ import annotations

import ast
import csv
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import REPOSITORY

from ssl_patches.cli import main
from ssl_patches.config.plain_text import printable

BEFORE = REPOSITORY / "tests" / "fixtures" / "before_move"
NASTY = "a\nFAKED\rFAKED\x1b[2J\u202eb\u2028FAKED\x85FAKED"
"""A name that a file system allows. Each FAKED would be a line where one place forgot the rule."""
ALONE = {"plain_text.py": 1, "reload.py": 1}
"""Where ``print`` is called: in ``tell``, and in the process that proves an export, whose one line
is JSON for its parent."""


def clean(text: str) -> str:
    """Return what was printed; it has no line that begins as the names would have it."""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text), ascii(text)
    assert not re.search("^ *FAKED", text, re.MULTILINE), text
    return text


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)
    with path.open("wb") as file:
        Image.fromarray(values).save(file, "PNG")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working directory: a folder of images whose every name is nasty, and a run of such a
    name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    root = tmp_path / NASTY
    for at in range(24):
        picture(root / f"{at % 2}{NASTY}" / f"{at}{NASTY}.png", at)
    (root / f"0{NASTY}" / f"damaged{NASTY}.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    (root / f"0{NASTY}" / f"other{NASTY}.nef").write_bytes(b"II*\0")
    shutil.copytree(BEFORE / "export", tmp_path / f"export{NASTY}")
    shutil.copytree(BEFORE / "run", tmp_path / "runs" / f"run{NASTY}")
    return tmp_path


def word(key: str, text: str | Path) -> str:
    return f'{key}="{text}"'


def folder(place: Path) -> list[str]:
    return [
        "data=folder",
        word("data.root", place / NASTY),
        "data.num_workers=0",
        "data.max_corrupt=0.5",
    ]


def model(place: Path) -> str:
    return word("model", place / f"export{NASTY}")


def test_everything_that_is_printed_goes_through_one_place():
    found = {}
    for path in sorted((REPOSITORY / "ssl_patches").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                plain = called == "tqdm.write" and "printable(" not in ast.unparse(node)
                desc = [ast.unparse(k.value) for k in node.keywords if k.arg == "desc"]
                named = any(each.startswith("f") for each in desc)  # a name in a progress bar
                if plain or named or called in ("print", "sys.stdout.write", "sys.stderr.write"):
                    found[path.name] = found.get(path.name, 0) + 1
    assert found == ALONE


@pytest.mark.parametrize("json_too", [False, True])
def test_doctor_shows_names_as_what_they_are(json_too, place, capsys):
    words = [word("data.root", place / NASTY), *(["--json"] if json_too else [])]
    assert main(["doctor", *words]) == 0
    said = clean("".join(capsys.readouterr()))
    assert "damaged" in said
    assert (printable(NASTY) in said) or json_too


def test_evaluate_shows_names_as_what_they_are(place, capsys):
    words = [model(place), *folder(place), "probes=[knn]"]
    code = main(["evaluate", *words])
    said = clean("".join(capsys.readouterr()))
    assert code == 0, said
    assert printable(NASTY) in said


def test_embed_shows_names_as_what_they_are(place, capsys):
    output = word("output", place / f"{NASTY}.parquet")
    code = main(["embed", model(place), *folder(place), output])
    said = clean("".join(capsys.readouterr()))
    assert code == 0, said
    assert said.count(printable(NASTY)) >= 2


def test_duplicates_shows_names_as_what_they_are_and_its_list_finds_them(place, capsys):
    some = place / NASTY / f"0{NASTY}" / f"0{NASTY}.png"
    shutil.copy(some, some.with_name(f"copy{NASTY}.png"))
    code = main(["duplicates", model(place), *folder(place), "output=copies.csv"])
    said = clean("".join(capsys.readouterr()))
    assert code == 0, said
    clean((place / "copies.csv").read_text(encoding="utf-8"))
    with (place / "copies.csv").open(newline="", encoding="utf-8") as file:
        assert any(f"copy{printable(NASTY)}.png" in row["path"] for row in csv.DictReader(file))
    capsys.readouterr()
    words = [*folder(place), "data.skip=copies.csv", "task=jigsaw", "encoder=vit_nano"]
    code = main(["pretrain", *words, "image_size=32", "data.batch_size=4", "--dry-run"])
    assert code == 0, clean("".join(capsys.readouterr()))
    assert "skip" in clean("".join(capsys.readouterr()))


@pytest.mark.parametrize("flags", [[], ["--json"], ["--markdown"]])
def test_runs_and_compare_show_names_as_what_they_are(flags, place, capsys, monkeypatch):
    monkeypatch.setattr("ssl_patches.studies.compare.command.can_draw", lambda: False)
    assert main(["compare", "runs", "--csv", "results.csv", *flags]) == 0
    assert clean("".join(capsys.readouterr()))
    clean((place / "results.csv").read_text(encoding="utf-8").replace("\r", ""))
    if "--markdown" not in flags:
        assert main(["runs", "runs", *flags]) == 0
        clean("".join(capsys.readouterr()))


def test_errors_show_names_as_what_they_are(place, capsys):
    shutil.rmtree(place / "runs" / f"run{NASTY}")
    (place / "runs" / f"run{NASTY}").mkdir()
    (place / "runs" / f"run{NASTY}" / "config.yaml").write_text("a: [")
    for words in (
        ["compare", "runs"],
        ["runs", "diff", NASTY, NASTY],
        ["runs", f"none{NASTY}"],
        ["verify", NASTY],
        [NASTY],
        ["pretrain", word("data.root", f"{NASTY}/none"), "data=folder", f"task={NASTY}"],
        ["evaluate", word("model", NASTY), f"{NASTY}=1"],
        ["view", NASTY],
        ["study", NASTY],
        ["list", NASTY],
    ):
        assert main(words) in (1, 2), words
        assert "FAKED" in clean("".join(capsys.readouterr())), words


def test_a_run_shows_names_as_what_they_are(place, capsys, quick_end):
    words = [*folder(place), "task=jigsaw", "encoder=vit_nano"]
    words += ["image_size=32", "data.batch_size=4", "callbacks=none", "budget.images=8"]
    code = main(["pretrain", *words, word("run_dir", place / "runs" / NASTY)])
    said = clean("".join(capsys.readouterr()))
    assert code == 0, said
    assert printable(NASTY) in said


def test_a_list_shows_its_columns_classes_and_paths_as_what_they_are(place, capsys):
    files = sorted((place / NASTY).rglob("*.png"))
    with (place / "list.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [[str(path), f"{at % 2}{NASTY}"] for at, path in enumerate(files)]
        csv.writer(file).writerows([["path", f"label{NASTY}"], *rows])
    words = ["data=manifest", "data.path=list.csv", "data.num_workers=0", "data.max_corrupt=0.5"]
    column = word("data.label_column", f"label{NASTY}")
    code = main(["evaluate", model(place), *words, column, "probes=[knn]"])
    said = clean("".join(capsys.readouterr()))
    assert code == 0, said
    assert main(["evaluate", model(place), *words, "data.label_column=none"]) == 2
    assert printable(NASTY) in clean("".join(capsys.readouterr()))


def test_the_streams_of_this_process_are_what_was_looked_at(capsys):
    print("FAKED", file=sys.stderr)
    with pytest.raises(AssertionError):
        clean("".join(capsys.readouterr()))
