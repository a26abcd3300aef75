"""A downloaded folder runs no code and writes nothing that it chooses: the promises of SECURITY.md,
asked of the commands."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import textwrap
from pathlib import Path

import pytest
import torch
import yaml
from small import REPOSITORY

from ssl_patches.cli import main
from ssl_patches.encoders.exported import CARD, sha256

BEFORE = REPOSITORY / "tests" / "fixtures" / "before_move"
WRITES = {"_target_": "ssl_patches.data.files.write_quarantine", "path": "OUT", "rows": []}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working directory of the commands; ``images`` in it are those of the card."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").symlink_to(BEFORE / "images")
    return tmp_path


@pytest.fixture
def export(place) -> Path:
    """An export to tamper with, hashes and all: whoever can change a file can change its hash."""
    return Path(shutil.copytree(BEFORE / "export", place / "export"))


def tampered(export: Path, file: str, change) -> None:
    tree = json.loads((export / file).read_text())
    change(tree)
    (export / file).write_text(json.dumps(tree))
    if file != CARD:
        card = json.loads((export / CARD).read_text())
        card["files"][file] = sha256(export / file)
        (export / CARD).write_text(json.dumps(card))


def refused(capsys, *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) in (1, 2)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("command", ["evaluate", "embed"])
@pytest.mark.parametrize(
    "node",
    [
        WRITES,
        {"_target_": "ssl_patches.config.atomic.write_text", "path": "OUT", "content": "x"},
        {"_target_": "os.system", "command": "touch OUT"},
        {"_target_": "ssl_patches.data.FolderSource", "root": WRITES},
    ],
)
def test_a_card_names_no_function_of_ours_or_of_others(command, node, export, place, capsys):
    tampered(export, CARD, lambda card: card["config"].update(data={**node, "num_workers": 0}))
    words = [f"model={export}"] + (["output=a.parquet"] if command == "embed" else [])
    said = refused(capsys, command, *words)
    assert "is not among what a configuration from elsewhere may name" in said
    assert not (place / "OUT").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tree: tree["pretrained_cfg"].update(url="http://host/a.pth"), "holds url"),
        (lambda tree: tree["pretrained_cfg"].update(hf_hub_id="a/b"), "holds hf_hub_id"),
        (lambda tree: tree["pretrained_cfg"].update(custom_load=True), "holds custom_load"),
        (lambda tree: tree["model_args"].update(checkpoint_path="a.pth"), "checkpoint_path"),
        (lambda tree: tree["model_args"].update(pretrained_cfg={}), "pretrained_cfg"),
        (lambda tree: tree.update(architecture="hf-hub:a/b"), "hf-hub:a/b"),
        (lambda tree: tree["pretrained_cfg"].update(mean=[float("nan")] * 3), "mean is"),
        (lambda tree: tree["pretrained_cfg"].update(input_size=[3, 10**9, 10**9]), "input_size"),
        (lambda tree: tree.pop("model_args"), "model_args"),
    ],
)
def test_timm_is_told_to_load_the_folder_and_nothing_else(change, said, export, capsys):
    tampered(export, "config.json", change)
    for command in (("verify", str(export)), ("evaluate", f"model={export}", "data=embedded")):
        assert said in refused(capsys, *command)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: card["files"].update({"../a": "0"}), "is damaged"),
        (lambda card: card["files"].update({"/dev/zero": "0"}), "is damaged"),
        (lambda card: card.update(files=[1]), "is damaged"),
        (lambda card: card.update(formats={"--help": "a"}), "does not write"),
        (lambda card: card.update(formats={}), "does not write"),
        (lambda card: card.update(precision="fp99"), "does not write"),
    ],
)
def test_a_card_names_files_of_its_folder_and_formats_of_ours(change, said, export, capsys):
    tampered(export, CARD, change)
    assert said in refused(capsys, "verify", str(export))


class Bomb:
    """What makes a file when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch OUT",)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "checkpoints"])
def test_weights_that_are_pickles_of_code_are_refused(name, place, capsys):
    if name == "checkpoints":
        run = Path(shutil.copytree(BEFORE / "run", place / "run"))
        torch.save(Bomb(), run / "checkpoints" / "last.ckpt")
        said = refused(capsys, "export", f"model={run}", "output=out")
    else:
        (place / name).write_bytes(pickle.dumps(Bomb()))
        said = refused(
            capsys,
            "pretrain",
            "data=embedded",
            "encoder=vit_nano",
            "image_size=32",
            f"encoder.pretrained={name}",
        )
    assert "cannot be read" in said
    assert "weights_only" not in said  # torch's own advice is to run it
    assert not (place / "OUT").exists()


def test_nothing_in_the_package_unpickles():
    """``torch.load`` with ``weights_only=True``, ``np.load`` without pickles, safe YAML.

    ``read_source`` evaluates expressions without calls, of the files of this package alone.
    """
    found = []
    for path in (REPOSITORY / "ssl_patches").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            unsafe = {
                "torch.load": given.get("weights_only") != "True",
                "np.load": given.get("allow_pickle") != "False",
                "pickle.load": True,
                "pickle.loads": True,
                "yaml.load": True,
                "yaml.unsafe_load": True,
                "eval": True,
                "exec": True,
            }
            if unsafe.get(ast.unparse(node.func)) and path.name != "read_source.py":
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


def test_runs_lists_a_folder_of_pipes_bombs_and_names_that_a_terminal_obeys(place, capsys):
    runs = place / "runs"
    good = Path(shutil.copytree(BEFORE / "run", runs / "good"))
    for name in ("pipe", "bomb", "deep", "empty", "red\x1b[31m"):
        shutil.copytree(good, runs / name)
    (runs / "pipe" / "config.yaml").unlink()
    os.mkfifo(runs / "pipe" / "config.yaml")
    for file in ("summary.json", "metrics.csv"):
        (runs / "pipe" / file).unlink()
        os.mkfifo(runs / "pipe" / file)
    bomb = "a: &a [1]\n" + "".join(f"b{at}: &b{at} [*a, *a]\n" for at in range(99))
    (runs / "bomb" / "config.yaml").write_text(bomb)
    (runs / "deep" / "summary.json").write_text("[" * 200_000)
    (runs / "empty" / "config.yaml").write_text("")
    (runs / ".claims").mkdir()
    (runs / ".claims" / "good.1").write_text("no lock")
    assert main(["runs", str(runs)]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "red\\x1b[31m" in said
    assert said.count("config.yaml cannot be read") >= 2
    main(["compare", str(runs)])
    assert "\x1b" not in "".join(capsys.readouterr())


def test_a_dry_run_of_a_study_runs_nothing_that_only_the_study_names(place, capsys, monkeypatch):
    (place / "mine_toy.py").write_text("open('OUT', 'w')\nclass Pack: ...\n")
    monkeypatch.syspath_prepend(place)
    study = {
        "base": ["data=own", "data._target_=mine_toy.Pack", "encoder=vit_nano", "image_size=32"],
        "axes": {"task": ["jigsaw"]},
        "budget": {"images": 64},
    }
    (place / "study.yaml").write_text(yaml.safe_dump(study))
    said = refused(capsys, "study", "study.yaml", "--dry-run")
    assert "mine_toy.Pack: is not among" in said
    assert not (place / "OUT").exists()


def test_security_md_names_a_test_for_each_promise():
    text = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
    named = [
        word.strip("`")
        for line in text.splitlines()
        for word in line.split()
        if word.startswith("`tests/")
    ]
    assert len(named) >= 8
    for each in named:
        file, _, test = each.partition("::")
        assert f"def {test}" in (REPOSITORY / file).read_text(encoding="utf-8"), each
    assert textwrap.dedent(text) == text


def test_a_damaged_run_is_told_in_a_line_and_hides_no_other(place, capsys, monkeypatch):
    runs = place / "runs"
    good = Path(shutil.copytree(BEFORE / "run", runs / "good"))
    half = Path(shutil.copytree(good, runs / "half"))
    empty = Path(shutil.copytree(good, runs / "empty"))
    last = half / "checkpoints" / "last.ckpt"
    last.parent.mkdir(exist_ok=True)
    torch.save({"weights": torch.zeros(9999)}, last)
    last.write_bytes(last.read_bytes()[:20_000])
    (empty / "config.yaml").write_text("")
    assert "cut off or damaged" in refused(capsys, "export", f"model={half}", "output=out")
    assert "is empty" in refused(capsys, "export", f"model={empty}", "output=out")
    (empty / "config.yaml").write_text("seed: 1")
    assert "has no budget" in refused(capsys, "export", f"model={empty}", "output=out")
    seen = Path.is_file

    def forbidden(path: Path) -> bool:
        if path.parent.name == "half":
            raise PermissionError(13, "Permission denied", str(path))
        return seen(path)

    monkeypatch.setattr(Path, "is_file", forbidden)
    assert main(["runs", str(runs), "--json"]) == 0
    listed = {Path(run["run"]).name: run for run in json.loads(capsys.readouterr().out)}
    assert listed["good"]["state"] == "finished"
    assert "Permission denied" in listed["half"]["note"]
