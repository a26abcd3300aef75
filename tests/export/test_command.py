"""``ssl-patches export``: from a run and any of its checkpoints, with all that a stranger asks
about."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from networks import proven_in_this_process

from ssl_patches.cli import main
from ssl_patches.export import load_timm_folder, read_card, verify
from ssl_patches.export.command import commit


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with proven_in_this_process():
        yield tmp_path


def changed(run: Path, name: str, **content) -> Path:
    """Another checkpoint of the run: each key replaced, or taken out where it is None."""
    found = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) | content
    torch.save(
        {key: value for key, value in found.items() if value is not None},
        run / "checkpoints" / name,
    )
    return run / "checkpoints" / name


def shifted(run: Path, by: float) -> dict[str, torch.Tensor]:
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {
        key: value + by if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for key, value in state.items()
    }


def test_an_export_of_a_run_carries_its_task_settings_data_and_results(finished_run, here, capsys):
    summary = json.loads((finished_run / "summary.json").read_text())
    assert (
        main(["export", f"model={finished_run}", "output=mine", "license=apache-2.0", "--json"])
        == 0
    )
    said = capsys.readouterr()
    assert json.loads(said.out)["formats"].keys() == {"timm"}
    assert "timm.create_model('local-dir:mine', pretrained=True)" in said.err
    for folder in (here / "mine", finished_run / "encoder"):
        card = read_card(folder)
        assert card["task"] == summary["task"]
        assert card["config"]["task"]["_target_"].endswith(".Jigsaw")
        assert card["data_fingerprint"] == summary["data_fingerprint"]
        assert card["results"] == summary["results"]
        assert card["images"] == 64
        assert card["step"] == 4
        assert card["weights"] == "trained"
        assert card["commit"] == commit()
        assert "knn20_top1" in (folder / "README.md").read_text()
        verify(folder)
    assert read_card(here / "mine")["license"] == "apache-2.0"
    assert read_card(finished_run / "encoder")["license"] is None


def test_the_commit_is_that_of_the_checkout_or_none(monkeypatch, tmp_path):
    from ssl_patches.export import command

    found = commit()
    assert found is None or len(found.removesuffix("-dirty")) == 40
    monkeypatch.setattr(command, "__file__", str(tmp_path / "a" / "b" / "command.py"))
    assert commit() is None


def test_any_checkpoint_can_be_exported_and_does_not_get_the_results_of_the_last(run_copy, here):
    other = changed(
        run_copy, "step-00000002.ckpt", state_dict=shifted(run_copy, 0.01), global_step=2
    )
    for name, words in {"a": [], "b": [f"checkpoint={other}"]}.items():
        assert main(["export", f"model={run_copy}", f"output={name}", *words]) == 0
    first, second = (load_timm_folder(here / name)[0].state_dict() for name in ("a", "b"))
    key = "blocks.0.mlp.fc1.weight"
    assert torch.allclose(first[key] + 0.01, second[key])
    assert read_card(here / "b")["results"] == []
    assert read_card(here / "b")["step"] == 2


def test_ema_weights_are_exported_where_a_checkpoint_holds_them_and_refused_where_not(
    run_copy, here, capsys
):
    assert main(["export", f"model={run_copy}", "output=a", "weights=ema"]) == 2
    said = capsys.readouterr().err
    assert "weights=ema" in said
    assert "holds none of that kind; set weights= to one of: trained" in said
    average = {
        key.replace("encoder.", "ema.", 1): value for key, value in shifted(run_copy, 0.02).items()
    }
    other = changed(run_copy, "ema.ckpt", state_dict=shifted(run_copy, 0.0) | average)
    for name in ("trained", "ema"):
        assert (
            main(
                [
                    "export",
                    f"model={run_copy}",
                    f"output={name}",
                    f"checkpoint={other}",
                    f"weights={name}",
                ]
            )
            == 0
        )
    trained, ema = (load_timm_folder(here / name)[0].state_dict() for name in ("trained", "ema"))
    assert torch.allclose(trained["norm.weight"] + 0.02, ema["norm.weight"])
    assert "ema weights" in (here / "ema" / "README.md").read_text()


def test_a_checkpoint_that_carries_code_is_refused_and_the_code_does_not_run(
    run_copy, here, capsys
):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(here / "ran"),)

    evil = changed(run_copy, "evil.ckpt", state_dict={"encoder.norm.weight": Evil()})
    assert main(["export", f"model={run_copy}", "output=a", f"checkpoint={evil}"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (here / "ran").exists()
    torch.load(evil, weights_only=False)
    assert (here / "ran").exists()  # the bomb is live
    assert not (here / "a").exists()


def test_a_run_without_a_checkpoint_and_other_bad_requests(run_copy, here, capsys):
    (here / "used").mkdir()
    (here / "used" / "file").touch()
    cases = {
        ("output=used",): "output=used: must be new or empty",
        ("output=a", "formats=[tim]"): "did you mean 'timm'",
        ("output=a", "formats=[]"): "formats=[]: must name one",
        ("output=a", "precision=fp8"): "must be one of fp32, fp16, bf16",
        ("output=a", "image_size=33"): "image_size=33: must be a multiple of 8 px",
        ("output=a", "input=uint8"): "input=uint8: is for graphs",
        ("output=a", "checkpoint=nowhere.ckpt"): "checkpoint=nowhere.ckpt: no such file",
    }
    for words, message in cases.items():
        assert main(["export", f"model={run_copy}", *words]) == 2, words
        assert message in capsys.readouterr().err
    for file in (run_copy / "checkpoints").iterdir():
        file.unlink()
    assert main(["export", f"model={run_copy}", "output=a"]) == 2
    assert "last.ckpt: no such file" in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["run", "used"]


def test_all_that_is_wrong_is_told_at_once(here, capsys):
    (here / "full").mkdir()
    (here / "full" / "x").touch()
    assert main(["export", "model=nowhere", "formats=[onx]", "presision=fp16"]) == 2
    said = capsys.readouterr().err
    for what in ("output: missing", "model=nowhere: is no run", "formats=[onx]", "presision"):
        assert what in said
    assert main(["export", "model=nowhere", "output=full"]) == 2
    said = capsys.readouterr().err
    assert "model=nowhere" in said
    assert "output=full: must be new or empty" in said


def test_the_weights_are_as_readable_as_the_other_files(finished_run):
    folder = finished_run / "encoder"
    modes = {(folder / name).stat().st_mode for name in ("model.safetensors", "config.json")}
    assert len(modes) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"budget_used": [], "results": []}'])
def test_a_damaged_summary_is_named_before_anything_is_written(finished_run, content, here, capsys):
    run = here / "run"
    shutil.copytree(finished_run, run)
    (run / "summary.json").write_text(content)
    assert main(["export", "model=run", "output=mine"]) == 2
    assert "model=run: summary.json cannot be read (" in capsys.readouterr().err
    assert not (here / "mine").exists()
