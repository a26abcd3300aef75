"""Weights of the hub: the commit is fixed, no code comes along, and what fails is one line. The hub
is a stub on loopback; its client is the real one."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import hub_server
import pytest
import timm
import torch
from hub_server import Hub
from huggingface_hub import constants
from safetensors.torch import save

from ssl_patches.encoders import create
from ssl_patches.encoders.hub import fetched, pinned
from ssl_patches.encoders.origin import taught_by
from ssl_patches.encoders.prepared import PreparedFor, prepared_for

SMALL = {"depth": 1, "embed_dim": 24, "num_heads": 2}
VIT = {"name": "vit_tiny_patch16_224", "image_size": 32, "patch_size": 8, "options": SMALL}


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub_server.serving() as hub:
        yield hub


@pytest.fixture
def hub(server, tmp_path, monkeypatch) -> Hub:
    """An empty hub that this process uses, and an empty cache; nobody is logged in."""
    hub_server.use(server, tmp_path / "cache", monkeypatch, token=None)
    return server


def of_timm(seed: int = 0, **config: object) -> dict[str, bytes]:
    """The files of an ordinary repository of timm, with a head and a pickle that nobody reads."""
    torch.manual_seed(seed)
    sizes = {"img_size": 32, "patch_size": 8, "class_token": False, "global_pool": "avg"}
    model = timm.create_model(VIT["name"], num_classes=3, fc_norm=False, **sizes, **SMALL)
    traits = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 32, 32]}
    said = {"architecture": VIT["name"], "num_classes": 3, "pretrained_cfg": traits}
    said |= {"model_args": {**sizes, **SMALL, "fc_norm": False}, **config}
    return {
        "config.json": json.dumps(said).encode(),
        "model.safetensors": save(model.state_dict()),
        "pytorch_model.bin": pickle.dumps(print),
    }


def test_an_ordinary_repository_of_timm_gives_weights_and_normalisation(hub):
    commit = hub.add("timm/small", of_timm())
    encoder = create(**VIT, pretrained="hf-hub:timm/small")
    assert f"a model of timm, commit {commit[:12]} of the hub" in encoder.loaded
    assert "left out: 2 of the head" in encoder.loaded
    plain = timm.create_model("hf-hub:timm/small", pretrained=True)
    assert torch.equal(encoder.model.blocks[0].attn.qkv.weight, plain.blocks[0].attn.qkv.weight)
    found = prepared_for("hf-hub:timm/small", VIT["name"])
    assert found == PreparedFor((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert taught_by("hf-hub:timm/small", VIT["name"]) == "labels"
    traits = json.loads(of_timm()["config.json"])
    flat = {"architecture": VIT["name"], **traits["pretrained_cfg"]}  # as older files of timm
    hub.add("timm/flat", of_timm() | {"config.json": json.dumps(flat).encode()})
    assert prepared_for("hf-hub:timm/flat", VIT["name"]) == found


def test_nothing_is_fetched_that_could_hold_code(hub, tmp_path):
    hub.add("timm/small", of_timm())
    folder = fetched("hf-hub:timm/small")
    assert {place.name for place in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert not hub.asked_for("pytorch_model.bin")
    files = of_timm()
    del files["model.safetensors"]
    hub.add("me/pickles", files)
    with pytest.raises(ValueError, match=r"has no model\.safetensors, and nothing else is read"):
        fetched("hf-hub:me/pickles")
    assert not hub.asked_for("pytorch_model.bin")


def test_a_branch_is_looked_up_once_and_a_commit_never(hub):
    first = hub.add("timm/small", of_timm(0))
    word = pinned("hf-hub:timm/small")
    assert word == pinned("hf-hub:timm/small@main") == f"hf-hub:timm/small@{first}"
    second = hub.add("timm/small", of_timm(1))
    assert fetched(word).name == first
    assert fetched("hf-hub:timm/small").name == second
    hub.asked.clear()
    assert pinned(word) == word
    assert fetched(word).name == first
    assert hub.asked == []  # nor is it asked again for the card that is not there


def test_without_a_network_what_was_fetched_is_read(hub, monkeypatch):
    commit = hub.add("timm/small", of_timm())
    loaded = create(**VIT, pretrained="hf-hub:timm/small").loaded
    for name, value in (("ENDPOINT", "http://127.0.0.1:9"), ("HF_HUB_OFFLINE", True)):
        with monkeypatch.context() as patch:
            patch.setattr(constants, name, value)
            assert pinned("hf-hub:timm/small") == f"hf-hub:timm/small@{commit}"
            assert create(**VIT, pretrained="hf-hub:timm/small").loaded == loaded
            with pytest.raises(ValueError, match=r"=hf-hub:me/other: .*not in the cache"):
                pinned("hf-hub:me/other")


def test_what_cannot_be_had_is_one_line_with_the_remedy(hub):
    hub.add("me/secret", of_timm(), private=True)
    hub.add("timm/small", of_timm())
    hub.add("timm/bert", of_timm(architecture="bert"))
    hub.add("timm/torn", {**of_timm(), "config.json": b"{"})
    for word, said in {
        "hf-hub:me/nothing": "there is no such repository, or it is private .*hf auth login",
        "hf-hub:me/secret": "there is no such repository, or it is private",
        "hf-hub:timm/small@v2": "there is no v2 in it; give a branch",
        "hf-hub:timm/small@" + "0" * 40: "there is no 0+ in it",
        "hf-hub:timm/bert": "its config.json names no network of timm",
        "hf-hub:timm/torn": r"cannot be read \(",
    }.items():
        with pytest.raises(ValueError, match=rf"^encoder\.pretrained={word}.*{said}") as error:
            fetched(word)
        assert "\n" not in str(error.value)
    options = {**SMALL, "embed_dim": 48}
    with pytest.raises(ValueError, match=r"must fit .*of another shape"):
        create(**{**VIT, "options": options}, pretrained="hf-hub:timm/small")
    with pytest.raises(ValueError, match=r"these are weights of encoder\.name=vit_tiny_patch16"):
        create(name="resnet18", image_size=32, pretrained="hf-hub:timm/small")


def test_a_strangers_card_is_checked_as_that_of_a_folder(hub, tmp_path):
    from networks import proven_in_this_process, write

    with proven_in_this_process():
        write("vit", tmp_path / "export")
    files = {place.name: place.read_bytes() for place in (tmp_path / "export").iterdir()}
    hub.add("me/good", files)
    assert (fetched("hf-hub:me/good") / "ssl_patches.json").is_file()
    assert taught_by("hf-hub:me/good", "") is None
    hub.add("me/torn", files | {"model.safetensors": of_timm()["model.safetensors"]})
    with pytest.raises(ValueError, match=r"model\.safetensors has changed since the export"):
        fetched("hf-hub:me/torn")
    card = json.loads(files["ssl_patches.json"])
    card["preprocessing"]["stored_range"] = [0, "x"]
    hub.add("me/odd", files | {"ssl_patches.json": json.dumps(card).encode()})
    with pytest.raises(ValueError, match="stored_range is"):
        fetched("hf-hub:me/odd")
    hub.add("me/sly", files | {"ssl_patches.json": b'{"files": {"../../x": "0"}}'})
    with pytest.raises(ValueError, match="is damaged"):
        fetched("hf-hub:me/sly")
    shutil.rmtree(Path(constants.HF_HUB_CACHE))
