"""The commands as a person and a script meet them: help, lists, tables, JSON, exit codes."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import REPOSITORY, SMALL

from ssl_patches.cli import main
from ssl_patches.cli.commands import COMMANDS, GROUPS
from ssl_patches.config import files as conf_files

ROW = {"model", "data", "metric", "value", "low", "high", "n"}
MODELS = {"trained", "random_init", "raw_pixels"}


def python(code: str, *words: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def commands_in(text: str) -> list[str]:
    """The commands that a text shows, ``ssl-patches COMMAND``, each once, in order."""
    return list(
        dict.fromkeys(re.findall(r"^\s*(?:\$ )?ssl-patches (\w+)", text, flags=re.MULTILINE))
    )


def test_help_of_every_command_answers_without_torch():
    code = """
import sys
from ssl_patches.cli.commands import COMMANDS, main
assert main([]) == main(["--help"]) == main(["-h"]) == 0
for command in COMMANDS:
    assert main([command, "--help"]) == 0
heavy = {"torch", "timm", "lightning", "hydra", "omegaconf", "pydantic", "numpy"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert (
            done.stdout.count(f"\nssl-patches {command} ")
            + done.stdout.startswith(f"ssl-patches {command} ")
            >= 1
        )


@pytest.mark.parametrize(
    "words",
    [
        ["list", "tasks"],
        ["completion", "words", "pretrain", "task="],
        ["completion", "bash"],
        ["--version"],
    ],
)
def test_what_is_asked_while_typing_answers_without_torch(words):
    done = python(
        "import sys\nfrom ssl_patches.cli import main\ncode = main(sys.argv[1:])\nsys.exit('torch'"
        " in sys.modules or code)",
        *words,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_readme_shows_the_commands_that_there_are():
    shown = re.findall(
        r"ssl-patches ([a-z]+)", (REPOSITORY / "README.md").read_text(encoding="utf-8")
    )
    assert set(shown) == set(COMMANDS)


def test_the_module_is_the_command(capsys):
    done = subprocess.run(
        [sys.executable, "-m", "ssl_patches", "list", "tasks"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert main(["list", "tasks"]) == done.returncode == 0
    assert done.stdout == capsys.readouterr().out
    script = Path(sys.executable).with_name("ssl-patches")
    assert (
        subprocess.run([script, "list", "tasks"], capture_output=True, text=True, timeout=60).stdout
        == done.stdout
    )


@pytest.mark.parametrize(("plural", "group"), GROUPS.items())
def test_list_shows_what_can_be_chosen_as_it_is_typed(plural, group, capsys):
    assert main(["list", plural]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        f"probes=[{name}]" if group == "probe" else f"{group}={name}"
        for name in conf_files.options(group)
    ]
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


def test_cfg_prints_the_composed_settings_as_yaml(capsys):
    import yaml

    assert main(["pretrain", "task=masked", "task.mask_ratio=0.6", "--cfg"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["task"]["mask_ratio"] == 0.6
    assert set(found) >= {
        "seed",
        "image_size",
        "budget",
        "run_dir",
        "data",
        "encoder",
        "sampler",
        "optimizer",
    }


def test_a_run_directory_holds_what_is_promised(finished_run):
    assert {path.name for path in finished_run.iterdir()} == {
        "config.yaml",
        "checkpoints",
        "metrics.csv",
        "health.csv",
        "evaluation.npz",
        "alarms.json",
        "summary.json",
        "figures",
        "encoder",
    }
    summary = json.loads((finished_run / "summary.json").read_text())
    assert {"images", "flops", "seconds", "steps", "tiles"} == set(summary["budget_used"])
    assert summary["budget_used"]["images"] == 64
    assert {"seed", "data_fingerprint", "versions", "results"} <= set(summary)
    assert {row["model"] for row in summary["results"]} == MODELS
    assert all(set(row) == ROW for row in summary["results"])
    assert list((finished_run / "figures").glob("*.png"))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_evaluate_prints_one_json_document_and_nothing_else_on_standard_output(
    finished_run, here, capsys
):
    capsys.readouterr()
    assert (
        main(["evaluate", f"model={finished_run}", "train_images=64", "test_images=32", "--json"])
        == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert all(set(row) == ROW for row in rows)
    assert {row["model"] for row in rows} == MODELS
    assert {row["metric"] for row in rows} == {
        "knn1_top1",
        "knn5_top1",
        "knn20_top1",
        "knn64_top1",
        "linear_top1",
    }
    assert all(
        0 <= row["low"] <= row["value"] <= row["high"] <= 100 and row["n"] == 32 for row in rows
    )
    summary = json.loads((finished_run / "summary.json").read_text())
    assert rows == summary["results"]


def test_evaluate_prints_a_table_for_people_also_of_an_export_and_of_other_data(
    finished_run, here, capsys
):
    capsys.readouterr()
    words = ["data=embedded", "data.count=48", "data.seed=7", "data.num_workers=0"]
    assert main(["evaluate", f"model={finished_run / 'encoder'}", *words]) == 0
    said = capsys.readouterr().out
    head, *lines = [line.split() for line in said.splitlines()]
    assert head == ["metric", "trained", "random_init", "raw_pixels", "data", "n"]
    assert "knn20_top1" in [line[0] for line in lines]


def test_evaluate_takes_a_name_of_timm(here, capsys):
    words = [
        "data=embedded",
        "data.count=24",
        "data.num_workers=0",
        "train_images=16",
        "test_images=8",
    ]
    assert main(["evaluate", "model=test_vit", "pretrained=false", *words, "--json"]) == 0
    assert {row["model"] for row in json.loads(capsys.readouterr().out)} == MODELS


def test_verify_passes_on_an_export_and_fails_on_one_changed_byte(finished_run, run_copy, capsys):
    capsys.readouterr()
    assert main(["verify", str(finished_run / "encoder"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["isolated"] is True
    assert found["largest_relative_difference"] <= 1e-5
    weights = run_copy / "encoder" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    assert main(["verify", str(run_copy / "encoder")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "model.safetensors has changed" in said.err
    assert "Traceback" not in said.err
    assert main(["evaluate", f"model={run_copy}", "test_images=8"]) == 1
    assert "model.safetensors has changed" in capsys.readouterr().err


def test_export_writes_what_a_process_without_ssl_patches_loads(
    finished_run, here, capsys, proven_here
):
    capsys.readouterr()
    assert main(["export", f"model={finished_run}", "output=mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["output"] == "mine"
    code = """
import sys
sys.modules["ssl_patches"] = None
import timm, torch
model = timm.create_model("local-dir:mine", pretrained=True).eval()
print(tuple(model(torch.zeros(2, 3, 32, 32)).shape))
"""
    done = python(code, cwd=here)
    assert done.stdout.strip() == "(2, 48)", done.stderr
    again, first = (
        folder / "model.safetensors" for folder in (here / "mine", finished_run / "encoder")
    )
    assert again.read_bytes() == first.read_bytes()
    assert main(["export", f"model={finished_run}", "output=mine"]) == 2


def second(finished_run: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Two runs that can be compared, and a broken one, without the checkpoints."""
    skip = shutil.ignore_patterns("checkpoints")
    places = tuple(
        Path(shutil.copytree(finished_run, folder / name, ignore=skip))
        for name in ("one", "two", "broken")
    )
    (places[2] / "summary.json").write_text("{")
    return places


def test_compare_prints_a_table_and_says_which_runs_it_leaves_out(finished_run, here, capsys):
    second(finished_run, here)
    shutil.copytree(
        here / "one", here / "unfinished", ignore=shutil.ignore_patterns("summary.json")
    )
    capsys.readouterr()
    assert main(["compare", "."]) == 0
    said = capsys.readouterr()
    table = said.out.split("\n\n")[0].splitlines()
    assert sorted(line.split()[:2] for line in table[2:]) == [
        ["jigsaw", "1"],
        ["random_init", "1"],
        ["raw_pixels", "-"],
    ]
    assert "jigsaw: 1 of 2 runs repeat a seed; each seed counts once" in said.out
    assert "one seed: no statement" in said.out
    assert re.search(r"left out broken: summary.json cannot be read", said.err)
    assert "left out unfinished: not finished" in said.err
    assert (here / "report.html").is_file()
    assert (here / "results.csv").is_file()


def test_compare_for_scripts_and_for_markdown(finished_run, here, capsys):
    second(finished_run, here)
    capsys.readouterr()
    assert main(["compare", "one", "two", "--json", "--csv", "rows.csv"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["run"] for row in rows} == {"one", "two"}
    assert all(set(row) >= ROW for row in rows)
    with (here / "rows.csv").open() as file:
        assert [row["value"] for row in csv.DictReader(file)] == [str(row["value"]) for row in rows]
    assert main(["compare", "one", "two", "--markdown"]) == 0
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[1].startswith("| --- |")


def test_a_run_without_labels_ends_well_and_says_why_it_was_not_evaluated(
    here, capsys, proven_here
):
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    (here / "images" / "deep" / "er").mkdir(parents=True)
    for at in range(40):
        Image.fromarray(draw.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(
            here / "images" / "deep" / "er" / f"{at}.png"
        )
    words = [word for word in SMALL if not word.startswith("data.count")]
    assert main(["pretrain", *words, "data=folder", "data.root=images", "run_dir=run"]) == 0
    said = capsys.readouterr()
    assert "no labels, so no probes" in said.err
    assert json.loads((here / "run" / "summary.json").read_text())["results"] == []
    assert "encoder   run/encoder" in said.out
    assert main(["compare", "run"]) == 0
    assert main(["compare", "run", "--csv", "rows.csv"]) == 0


def test_an_interrupted_command_is_no_traceback(monkeypatch, capsys):
    def pressed(request) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "compare", pressed)
    assert main(["compare", "x"]) == 1
    assert capsys.readouterr().err == "compare: stopped\n"


@pytest.mark.slow
def test_wandb_writes_files_without_an_account(here, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(here))
    command = [
        sys.executable,
        "-m",
        "ssl_patches",
        "pretrain",
        *SMALL,
        "logger=wandb",
        "run_dir=run",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=here, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert list((here / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    pictures = (here / "run" / "wandb").glob("offline-run-*/files/media/images/previews/*.png")
    assert {file.name.partition("_")[0] for file in pictures} >= {"neighbours", "patches"}
