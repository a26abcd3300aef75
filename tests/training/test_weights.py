"""A run keeps the commit that it began from, and goes on from the same one."""

from __future__ import annotations

import hub_server
import pytest
from hub_server import Hub

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.training.weights import with_pinned_weights

WORD = "hf-hub:timm/small"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with hub_server.serving() as hub:
        hub_server.use(hub, tmp_path / "cache", monkeypatch, token=None)
        yield hub


def add(hub: Hub, seed: int) -> str:
    """Another commit of weights that fit the encoder of SMALL."""
    import json

    import timm
    import torch
    from safetensors.torch import save

    torch.manual_seed(seed)
    name, sizes = "vit_tiny_patch16_224", {"depth": 2, "embed_dim": 48, "num_heads": 3}
    sizes |= {"img_size": 32, "patch_size": 8, "class_token": False, "fc_norm": False}
    model = timm.create_model(name, num_classes=0, global_pool="avg", **sizes)
    said = {"architecture": name, "pretrained_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3}}
    files = {
        "config.json": json.dumps(said).encode(),
        "model.safetensors": save(model.state_dict()),
    }
    return hub.add("timm/small", files)


def test_a_run_keeps_the_commit_and_its_normalisation_and_resumes_from_it(
    hub, only_training, tmp_path, capsys
):
    first = add(hub, 0)
    words = [f"encoder.pretrained={WORD}", "trainer.checkpoint_steps=1"]
    run_dir = only_training(tmp_path / "run", *words)
    assert f"a model of timm, commit {first[:12]} of the hub" in capsys.readouterr().err
    kept = config.load(run_dir / "config.yaml")
    assert kept["encoder"]["pretrained"] == f"{WORD}@{first}"
    assert kept["data"]["statistics"] == {"mean": [0.1] * 3, "std": [0.2] * 3}
    add(hub, 1)
    resumed = [*words, "resume=true", "budget.images=128"]
    only_training(run_dir, *resumed)
    assert "resumed at step 4" in capsys.readouterr().err
    assert config.load(run_dir / "config.yaml") == {
        **kept,
        "budget": {**kept["budget"], "images": 128},
    }
    asked = {**kept, "resume": True, "run_dir": str(run_dir)}
    for word in (WORD, f"{WORD}@main", f"{WORD}@{first}"):
        given = {**asked, "encoder": {**kept["encoder"], "pretrained": word}}
        assert with_pinned_weights(given)["encoder"] == kept["encoder"]
    new = {**asked, "resume": False, "encoder": {**kept["encoder"], "pretrained": WORD}}
    assert with_pinned_weights(new)["encoder"] != kept["encoder"]


def test_what_cannot_be_had_is_told_before_a_run_directory_is_made(hub, tmp_path, capsys):
    for word, said in (
        ("hf-hub:timm", "must be USER/NAME"),
        (WORD, "there is no such repository"),
    ):
        words = [f"encoder.pretrained={word}", f"run_dir={tmp_path / 'run'}", "data.count=64"]
        assert main(["pretrain", *words]) == 2
        assert f"encoder.pretrained={word}: {said}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("weights", [None, False, True, "weights.pth"])
def test_other_weights_are_left_as_they_are(weights):
    cfg = {"encoder": {"pretrained": weights}}
    assert with_pinned_weights(cfg) == cfg
