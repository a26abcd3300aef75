"""Opening an encoder: an export, a run, a name of timm, and models of the hub, which is a stub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import hub_server
import pytest
import timm
import torch
from hub_server import Hub
from networks import proven_in_this_process, write
from safetensors.torch import save
from small import REPOSITORY

from ssl_patches import load_encoder
from ssl_patches.encoders.subject import open_model

EXPORT = REPOSITORY / "tests" / "fixtures" / "before_move" / "export"
NAME = "vit_tiny_patch16_224"
SIZES = {"img_size": 32, "patch_size": 8, "class_token": False, "global_pool": "avg"}
SIZES |= {"depth": 1, "embed_dim": 24, "num_heads": 2, "fc_norm": False}


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    """An empty hub that this process uses, and an empty cache; nobody is logged in."""
    with hub_server.serving() as held:
        hub_server.use(held, tmp_path / "cache", monkeypatch, token=None)
        yield held


def of_timm(**config: object) -> dict[str, bytes]:
    """A repository of timm, with a head for three classes."""
    model = timm.create_model(NAME, num_classes=3, **SIZES)
    traits = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 32, 32]}
    said = {"architecture": NAME, "num_classes": 3, "pretrained_cfg": traits, "model_args": SIZES}
    return {
        "config.json": json.dumps(said | config).encode(),
        "model.safetensors": save(model.state_dict()),
    }


def test_an_export_opens_with_its_preprocessing():
    found = open_model(str(EXPORT), pretrained=True)
    assert (found.image_size, len(found.mean), found.model.training) == (32, 3, False)
    assert found.cfg is not None


def test_a_name_that_timm_does_not_know_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"model=resnet81: .* did you mean 'resnet"):
        open_model("resnet81", pretrained=False)


def test_a_run_without_an_encoder_says_how_to_give_it_one(tmp_path):
    (tmp_path / "config.yaml").touch()
    remedy = f"ssl-patches export model={tmp_path} output={tmp_path / 'encoder'}"
    with pytest.raises(ValueError, match=re.escape(remedy)):
        open_model(str(tmp_path), pretrained=True)


def test_an_export_that_was_pushed_is_that_export(hub, tmp_path):
    with proven_in_this_process():
        write("vit", tmp_path / "export")
    hub.add("me/ours", {file.name: file.read_bytes() for file in (tmp_path / "export").iterdir()})
    here = open_model(str(tmp_path / "export"), pretrained=True)
    there = load_encoder("hf-hub:me/ours")
    images = torch.rand(2, 3, here.image_size, here.image_size)
    with torch.no_grad():
        assert torch.equal(here.model(images), there.encoder(images))
    assert open_model("hf-hub:me/ours", pretrained=True).fingerprint == here.fingerprint


def test_a_repository_of_timm_is_read_as_timm_reads_it_without_its_head(hub):
    commit = hub.add("timm/small", of_timm())
    found = open_model(f"hf-hub:timm/small@{commit}", pretrained=True)
    assert (found.image_size, found.mean, found.std) == (32, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    images = torch.rand(2, 3, 32, 32)
    plain = timm.create_model("hf-hub:timm/small", pretrained=True).eval()
    with torch.no_grad():
        features = plain.forward_head(plain.forward_features(images), pre_logits=True)
        assert torch.equal(found.model(images), features)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            of_timm(model_args={**SIZES, "checkpoint_path": "x"}),
            "no argument of a network",
        ),
        (of_timm(model_args={**SIZES, "depth": 2}), r"cannot be made \('?blocks.1"),
        (of_timm(model_args={**SIZES, "wings": 2}), "wings"),
    ],
)
def test_what_is_no_network_is_one_line(hub, files, says):
    hub.add("me/odd", files)
    with pytest.raises(ValueError, match=f"^model=hf-hub:me/odd: .*{says}") as error:
        open_model("hf-hub:me/odd", pretrained=True)
    assert "\n" not in str(error.value)


def test_a_name_that_is_none_is_told_for_the_key_that_has_it(hub):
    with pytest.raises(ValueError, match=r"^against=hf-hub:me: must be .*give against=hf-hub:USER"):
        open_model("hf-hub:me", pretrained=True, key="against")
    assert not hub.asked
