"""``--dry-run`` says what a run would be and cost, shows its tiles, refuses what the run would
refuse, and leaves one picture."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import SMALL, SMALL_DATA

from ssl_patches.cli import main
from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training.prepare import prepare

VIT = SMALL[:2]
RESNET = (
    "encoder=resnet18",
    "encoder.options={channels:[8,12,16,32],layers:[1,1,1,1]}",
    "encoder.output_stride=8",
)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(text: str) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+) {2,}(.+)$", text, flags=re.MULTILINE):
        rows.setdefault(name, []).append(value)
    return rows


def test_it_says_what_the_run_then_does(finished_run, here, capsys):
    assert main(["pretrain", *SMALL, "run_dir=a", "--dry-run"]) == 0
    rows = said(capsys.readouterr().out)
    used = json.loads((finished_run / "summary.json").read_text())["budget_used"]
    assert rows["budget"] == [f"{used['steps']} steps, {used['images']} images, 1 epochs"]
    per_image, total = map(float, re.findall(r"([\d.e+-]+) [GT]FLOP", rows["FLOPs"][0]))
    assert total * 1e12 == pytest.approx(used["flops"], rel=0.01)
    assert per_image * 1e9 * used["images"] == pytest.approx(used["flops"], rel=0.01)
    assert rows["run"] == ["a: starts anew"]
    assert {path.name for path in here.iterdir()} == {"dry_run.png"}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((*RESNET, "task=jigsaw"), 1),
        ((*VIT, "task=relative+masked", "parts.relative.sampler.gap=0"), 2),
    ],
    ids=["resnet", "vit, a mixture"],
)
def test_it_knows_each_part_and_every_parameter(words, parts, here, capsys):
    words = [*words, *SMALL_DATA]
    assert main(["pretrain", *words, "--dry-run"]) == 0
    rows = said(capsys.readouterr().out)
    assert len(rows["task"]) == len(rows["tiles"]) == parts
    assert {
        "encoder",
        "data",
        "step",
        "precision",
        "optimizer",
        "budget",
        "FLOPs",
        "memory",
        "time",
        "picture",
    } <= set(rows)
    module = prepare(mixture.request(words, supplied=SUPPLIED, schema=PRETRAIN)).module
    for row, part in zip(
        [*rows["encoder"], *rows["task"]], [module.encoder, *module.tasks.values()], strict=True
    ):
        number, unit = re.search(r"([\d.]+) ([kM]) parameters", row).groups()
        count = sum(parameter.numel() for parameter in part.parameters())
        assert float(number) * {"k": 1e3, "M": 1e6}[unit] == pytest.approx(count, rel=0.1)
    assert ("ALARM" in rows) == ("parts.relative.sampler.gap=0" in words)
    picture = np.asarray(Image.open(here / rows["picture"][0]).convert("RGB"))
    assert picture.std() > 20
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000


def test_a_picture_is_never_overwritten(here, capsys):
    for name in ("dry_run.png", "dry_run-2.png"):
        (here / name).write_bytes(b"mine")
    assert main(["pretrain", *SMALL, "--dry-run"]) == 0
    assert said(capsys.readouterr().out)["picture"] == ["dry_run-3.png"]
    assert (here / "dry_run.png").read_bytes() == (here / "dry_run-2.png").read_bytes() == b"mine"


def test_it_refuses_what_the_run_would_refuse_and_writes_nothing(finished_run, here, capsys):
    for words, message in (
        ([f"run_dir={finished_run}"], "is in use"),
        (["task.permutations=abc"], "must be a whole number"),
        (["sampler.tile=30"], "does not fit"),
        (["data.batch_size=999"], "must be 1 to 64"),
    ):
        kept = [
            word
            for word in SMALL
            if word.partition("=")[0] not in {given.partition("=")[0] for given in words}
        ]
        assert main(["pretrain", *kept, *words, "--dry-run"]) == 2
        assert message in capsys.readouterr().err
    assert list(here.iterdir()) == []
    assert main(["pretrain", *SMALL, f"run_dir={finished_run}", "resume=true", "--dry-run"]) == 0
    assert said(capsys.readouterr().out)["run"] == [f"{finished_run}: goes on at step 4"]


def test_of_a_sweep_it_lists_the_runs(here, capsys):
    assert main(["pretrain", *SMALL, "-m", "task=jigsaw,relative", "--dry-run"]) == 0
    found = capsys.readouterr().out
    assert "2 missing" in found
    assert list(here.iterdir()) == []
