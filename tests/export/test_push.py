"""What is pushed is what timm, transformers and encoder.pretrained load, and nothing is replaced,
shown or sent that was not to be. The hub is a stub on loopback; its client is the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hub_server
import numpy as np
import pytest
import timm
import torch
from hub_server import Hub
from networks import CARD, build, exportable, inputs, proven_in_this_process, same
from small import REPOSITORY

from ssl_patches.cli import main
from ssl_patches.encoders import create
from ssl_patches.export import ExportRequest, check_hashes, export_model

CONFIG = {
    "run_dir": "/home/anna/runs/a",
    "encoder": {"name": "vit_tiny_patch16_224", "pretrained": "/home/anna/weights.pth"},
    "data": {
        "_target_": "ssl_patches.data.FolderSource",
        "root": "/home/anna/cells",
        "batch_size": 8,
        "storage_options": {"secret": "s3cret"},
        "value_range": [0, 4095],
    },
    "task": {"_target_": "ssl_patches.tasks.jigsaw.Jigsaw", "tiles": 9},
    "logger": {"tracking_uri": "https://anna:s3cret@example.org"},
}
ENCODER = {
    "name": "vit_tiny_patch16_224",
    "image_size": 32,
    "patch_size": 8,
    "options": {"depth": 2, "embed_dim": 48, "num_heads": 3},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """An export with settings of a run: never write into it."""
    folder = tmp_path_factory.mktemp("exports") / "encoder"
    with proven_in_this_process():
        export_model(
            exportable("vit"), folder, wanted=ExportRequest(), card={**CARD, "config": CONFIG}
        )
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub_server.serving() as hub:
        yield hub


@pytest.fixture
def hub(server, tmp_path, monkeypatch) -> Hub:
    """An empty hub that this process uses, with a token that may write to ``me``."""
    hub_server.use(server, tmp_path / "cache", monkeypatch)
    return server


@pytest.fixture
def refused(capsys) -> Callable[..., str]:
    """``refused(WORDS)`` of push: one line, exit code 2, no traceback and no token."""

    def ask(*words: object) -> str:
        capsys.readouterr()
        assert main(["push", *map(str, words)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "hf_" not in said.err
        return said.err.splitlines()[-1]

    return ask


def pushed(exported: Path, *words: str) -> None:
    assert main(["push", str(exported), "hub=me/cells", *words]) == 0


def here(hub: Hub, name: str = "me/cells") -> dict[str, bytes]:
    return hub.repositories[name].commits[-1][1]


def test_what_is_pushed_is_what_timm_and_encoder_pretrained_load(exported, hub, capsys):
    pushed(exported, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["commit"] == hub.repositories["me/cells"].commits[-1][0]
    assert len(hub.repositories["me/cells"].commits) == 2  # the hub's own, and one
    assert hub.repositories["me/cells"].private
    model = build("vit")
    loaded = timm.create_model("hf-hub:me/cells", pretrained=True).eval()
    assert same(model, loaded) < 1e-5
    assert timm.data.resolve_model_data_config(loaded)["mean"] == [0.4] * 3
    encoder = create(**ENCODER, pretrained="hf-hub:me/cells").eval()
    assert same(model, encoder.export(32)) < 1e-5
    assert f"an export of ssl_patches, commit {found['commit'][:12]} of the hub" in encoder.loaded


def test_the_folder_there_is_an_export_like_any_other(exported, hub, tmp_path):
    pushed(exported, "license=apache-2.0")
    (tmp_path / "there").mkdir()
    for name, held in here(hub).items():
        (tmp_path / "there" / name).write_bytes(held)
    check_hashes(tmp_path / "there")
    unchanged = {"config.json", "model.safetensors", "reference.npz"}
    assert all((exported / name).read_bytes() == here(hub)[name] for name in unchanged)
    assert set(here(hub)) == {*unchanged, "README.md", "ssl_patches.json", ".gitattributes"}
    text = here(hub)["README.md"].decode()
    assert 'timm.create_model("hf-hub:me/cells", pretrained=True)' in text
    assert 'AutoModel.from_pretrained("me/cells")' in text
    assert "\nlicense: apache-2.0\n" in text
    assert "* Data: cells; fingerprint 0123" in text
    check_hashes(exported)


def test_settings_of_this_machine_stay_here(exported, hub, capsys):
    pushed(exported)
    told = capsys.readouterr().err
    sent = b"".join(here(hub).values())
    assert b"anna" not in sent
    assert b"s3cret" not in sent
    card = json.loads(here(hub)["ssl_patches.json"])["config"]
    assert card["data"] == {
        "_target_": "ssl_patches.data.FolderSource",
        "root": "cells",
        "batch_size": 8,
        "value_range": [0, 4095],
    }
    assert card["encoder"]["pretrained"] == "weights.pth"
    keys = ("run_dir", "logger", "data.root", "data.storage_options", "encoder.pretrained")
    assert all(key in told for key in keys)
    assert "no licence is stated" in told


def test_other_files_of_the_folder_stay_here(exported, hub, tmp_path, capsys):
    mine = shutil.copytree(exported, tmp_path / "mine")
    (mine / "patients.csv").write_text("Anna")
    assert main(["push", str(mine), "hub=me/cells"]) == 0
    assert "not sent, no files of an export: patients.csv" in capsys.readouterr().err
    assert "patients.csv" not in here(hub)


def test_a_dry_run_asks_nobody_and_shows_what_would_be_sent(exported, hub, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", str(exported), "hub=me/cells", "--dry-run", "private=false"]) == 0
    said = capsys.readouterr().out
    assert "hf-hub:me/cells, public, would get one commit; nothing was sent" in said
    size = (exported / "model.safetensors").stat().st_size
    assert f"model.safetensors  {size:>12,} bytes" in said
    assert 'AutoModel.from_pretrained("me/cells")' in said
    assert hub.asked == []


def test_the_same_encoder_again_is_nothing_new_and_new_words_are_a_commit(exported, hub, capsys):
    pushed(exported)
    pushed(exported)
    assert "nothing new since" in capsys.readouterr().out
    before = here(hub)
    pushed(exported, "license=mit")
    assert {name for name in before if before[name] != here(hub)[name]} == {
        "README.md",
        "ssl_patches.json",
    }


def test_another_encoder_is_replaced_only_when_asked(exported, hub, refused):
    others = {"model.safetensors": b"other", "encoder.onnx": b"old", "notes.txt": b"mine"}
    hub.add("me/cells", others, private=True)
    said = refused(exported, "hub=me/cells")
    assert said.startswith("hub=me/cells: holds another encoder (commit ")
    assert "overwrite=true" in said
    assert here(hub) == others
    pushed(exported, "overwrite=true")
    assert "encoder.onnx" not in here(hub)  # of the other one
    assert here(hub)["notes.txt"] == b"mine"
    assert here(hub)["model.safetensors"] == (exported / "model.safetensors").read_bytes()
    hub.add("me/list", {"data.csv": b"1"}, private=True)
    assert "holds other files (data.csv; commit" in refused(exported, "hub=me/list")


def test_what_somebody_pushes_meanwhile_is_not_replaced(exported, hub, refused, monkeypatch):
    pushed(exported)
    send = hub_server.Handler.preupload

    def meanwhile(handler, name):
        hub.add(name, {"model.safetensors": b"theirs"})
        send(handler, name)

    routes = [
        (*route[:2], meanwhile if route[2] is send else route[2]) for route in hub_server.ROUTES
    ]
    monkeypatch.setattr(hub_server, "ROUTES", routes)
    assert "was changed meanwhile" in refused(exported, "hub=me/cells", "license=mit")
    assert here(hub) == {"model.safetensors": b"theirs"}


def test_what_is_to_be_private_is_not_put_where_everybody_looks(exported, hub, refused):
    hub.add("me/cells", {"README.md": b""}, private=False)
    assert "everybody sees it, and private=true" in refused(exported, "hub=me/cells")
    pushed(exported, "private=false")
    assert "model.safetensors" in here(hub)


def test_who_may_not_write_is_told_so(exported, hub, refused, monkeypatch):
    assert "your token may not do that" in refused(exported, "hub=you/cells")
    monkeypatch.setenv("HF_TOKEN", hub_server.READER)
    assert "your token may not do that" in refused(exported, "hub=me/cells")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    assert "does not take your token; log in anew" in refused(exported, "hub=me/cells")
    monkeypatch.delenv("HF_TOKEN")
    assert "needs a token of the hub, and there is none" in refused(exported, "hub=me/cells")
    assert hub.repositories == {}


def test_no_network_is_told_at_once(exported, hub, refused, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "the hub at http://127.0.0.1:9 does not answer" in refused(exported, "hub=me/cells")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "while HF_HUB_OFFLINE is set" in refused(exported, "hub=me/cells")


def test_a_changed_export_and_what_is_none_are_not_sent(exported, hub, refused, tmp_path):
    mine = shutil.copytree(exported, tmp_path / "mine")
    (mine / "model.safetensors").write_bytes(b"changed")
    said = refused(mine, "hub=me/cells")
    assert "model.safetensors has changed since the export was written" in said
    assert f"ssl-patches verify {mine}" in said
    assert "has no ssl_patches.json" in refused(tmp_path, "hub=me/cells")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    assert "is a run without an encoder" in refused(tmp_path / "run", "hub=me/cells")
    shutil.copytree(exported, tmp_path / "run" / "encoder")
    assert "must be a name of the hub's list" in refused(exported, "hub=me/a", "license='MIT 2'")
    assert "does not take the head" in refused(exported, "hub=me/cells", "license=nonsense")
    assert list(hub.repositories) == ["me/cells"]  # made, and left empty: the next push fills it
    assert main(["push", str(tmp_path / "run"), "hub=me/cells"]) == 0


@pytest.mark.parametrize("name", ["cells", "me/a b", "me/..", "a/b/c", "me/x@main", "-me/x", "/x"])
def test_a_name_that_the_hub_has_not_is_told_before_anything(name, exported, hub, refused):
    assert refused(exported, f"hub='{name}'").startswith(f"hub={name}: ")
    assert hub.asked == []


@pytest.mark.slow
def test_strangers_load_it_from_the_hub(exported, hub, tmp_path):
    """Processes that have but timm and transformers, and where the hub is."""
    pushed(exported)
    code = """
import sys
sys.modules["ssl_patches"] = None
import numpy, timm, torch, transformers
images = torch.from_numpy(numpy.load(sys.argv[1]))
with torch.inference_mode():
    one = timm.create_model("hf-hub:me/cells", pretrained=True).eval()(images)
    two = transformers.AutoModel.from_pretrained("me/cells").eval()(images).pooler_output
numpy.savez(sys.argv[2], one=one, two=two)
"""
    np.save(tmp_path / "images.npy", inputs().numpy())
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "images.npy", tmp_path / "found.npz"],
        env={**os.environ, **hub_server.environment(hub, tmp_path / "other")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        expected = build("vit")(inputs()).numpy()
    found = np.load(tmp_path / "found.npz")
    for name in ("one", "two"):
        assert np.abs(found[name] - expected).max() <= 1e-5 * np.abs(expected).max()


def test_an_export_of_before_can_be_pushed(hub):
    assert main(["push", str(REPOSITORY / "tests/fixtures/before_move/export"), "hub=me/old"]) == 0
    assert b"hf-hub:me/old" in here(hub, "me/old")["README.md"]
