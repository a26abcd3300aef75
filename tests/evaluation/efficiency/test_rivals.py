"""A rival is opened and checked before anything is computed, or refused with what to type."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.models import mobilenet_v2

from ssl_patches.encoders import hub
from ssl_patches.evaluation.efficiency import rivals
from ssl_patches.evaluation.efficiency.rivals import open_rivals

OPTIONS = {"pretrained": True, "image_size": None, "channels": 3}


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.pth"
    torch.manual_seed(0)
    torch.save(mobilenet_v2(num_classes=2).state_dict(), path)
    return path


def test_a_file_of_a_known_network_needs_no_name_and_keeps_its_normalisation(mobilenet):
    (rival,) = open_rivals([str(mobilenet)], **OPTIONS)
    assert rival.name == "mobilenetv2_100"
    assert (rival.subject.image_size, rival.subject.mean[0]) == (224, 0.485)
    (small,) = open_rivals([f"mobilenetv2_100@{mobilenet}"], **(OPTIONS | {"image_size": 96}))
    assert small.subject.image_size == 96
    assert small.subject.model.eval()(torch.zeros(1, 3, 96, 96)).shape == (1, 1280)


def test_names_in_tables_are_unique_and_never_those_of_ours(finished_run, tmp_path):
    (tmp_path / "trained").symlink_to(finished_run)
    found = open_rivals(
        [str(tmp_path / "trained"), str(finished_run), f"{finished_run}/encoder"], **OPTIONS
    )
    assert [rival.name for rival in found] == ["trained_rival", "finished", "finished_2"]


def test_what_cannot_be_a_rival_is_refused_with_what_to_type(
    mobilenet, finished_run, tmp_path, monkeypatch
):
    plain = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), plain)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")

    def offline(name):
        raise OSError("no network here")

    monkeypatch.setattr(rivals, "check_reachable", offline)
    for word, said, options in (
        ("nowhere", "no such folder", {}),
        (str(plain), r"write rivals=\[TIMM_NAME@", {}),
        (str(broken), "TIMM_NAME@", {}),
        (f"resnet18@{plain}", "must fit resnet18", {}),
        (f"resnet18@{broken}", "cannot be read", {}),
        (f"no_model@{plain}", "timm has no model no_model", {}),
        (f"resnet18@{tmp_path}/gone.pth", "no such file", {}),
        ("resnet18", r"no network here.*rivals=\[resnet18@FILE\]", {}),
        (str(finished_run), r"channels.*set data.channels=3", {"channels": 1}),
        ("vit_tiny_patch16_224", "takes 224 px", {"image_size": 64, "pretrained": False}),
    ):
        with pytest.raises(ValueError, match=said):
            open_rivals([word], **(OPTIONS | options))
    with pytest.raises(ValueError, match="named twice"):
        open_rivals([str(mobilenet)] * 2, **OPTIONS)


def test_no_network_is_told_in_seconds(monkeypatch):
    monkeypatch.setattr(hub, "in_cache", lambda name: None)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match="timm's weights cannot be had"):
        open_rivals(["resnet18"], **OPTIONS)
