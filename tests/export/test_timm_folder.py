"""An export loads without ssl_patches, gives the same features, and appears whole or not at all."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ssl_patches.export import (
    ExportMismatch,
    check_hashes,
    export_encoder,
    load_timm_folder,
    proof,
    prove,
    read_card,
    reference_images,
    reload,
    timm_folder,
    verify,
    write_timm_folder,
)

VIT = {"img_size": 32, "patch_size": 4, "global_pool": "avg", "fc_norm": False, "depth": 2}
NETWORKS = {
    "vit": ("vit_tiny_patch16_224", {**VIT, "class_token": False}, 3),
    "vit_cls": ("vit_tiny_patch16_224", {**VIT, "class_token": True, "global_pool": "token"}, 3),
    "vit_dynamic": ("vit_tiny_patch16_224", {**VIT, "class_token": False, "dynamic_img_size": True}, 3),
    "resnet": ("resnet18", {"output_stride": 8}, 3),
    "resnet_gray": ("resnet18", {"output_stride": 8, "in_chans": 1}, 1),
}
CARD = {"task": "jigsaw", "data": "sha256:0123", "budget": {"images": 10}, "results": [{"model": "trained", "n": 10}]}


def build(name: str) -> nn.Module:
    """A timm model that does not look like a fresh one: noise on every weight, BatchNorm statistics that moved."""
    architecture, arguments, _ = NETWORKS[name]
    torch.manual_seed(3)
    model = timm.create_model(architecture, num_classes=0, **arguments)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand_like(tensor) if "running_var" in key else 0.02 * torch.randn_like(tensor))
    return model.eval()


def write(model: nn.Module, name: str, directory: Path, **changes) -> Path:
    architecture, arguments, channels = NETWORKS[name]
    size = {"image_size": 32, "channels": channels, "mean": [0.4] * channels, "std": [0.25] * channels}
    given = {"architecture": architecture, "arguments": arguments, **size, "card": CARD, **changes}
    return write_timm_folder(model, directory, **given)


def same(model: nn.Module, other: nn.Module, channels: int = 3) -> float:
    images = reference_images(8, channels, 32)
    with torch.inference_mode():
        expected = model(images)
        return ((other(images) - expected).abs().max() / expected.abs().max()).item()


class HeldModel(nn.Module):
    """As much of an encoder as an export needs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.architecture, self.arguments, _ = NETWORKS[name]
        self.model = build(name)

    def calibrate(self, images) -> None:
        for layer in (part for part in self.model.modules() if isinstance(part, nn.BatchNorm2d)):
            layer.reset_running_stats()
            layer.momentum = None
        self.model.train()
        for batch in images:
            self.model(batch)

    def export(self, image_size: int) -> nn.Module:
        return copy.deepcopy(self.model).eval()


@pytest.fixture
def same_process(monkeypatch):
    """What reload.py computes without the seconds a process takes: for tests that are not about isolation."""
    monkeypatch.setattr(proof, "_in_another_process", lambda *given: reload.difference(*map(str, given)) | {"isolated": True})


SLOW = [pytest.param(name, marks=[] if name in ("vit", "resnet") else pytest.mark.slow) for name in NETWORKS]


@pytest.mark.parametrize("name", SLOW)
def test_a_process_without_ssl_patches_gets_the_same_features(name, tmp_path):
    model = build(name)
    write(model, name, tmp_path / "encoder")
    found = prove(tmp_path / "encoder", model, image_size=32, channels=NETWORKS[name][2])
    assert found.largest_relative_difference <= 1e-5
    assert found.isolated
    assert found.images == 64


@pytest.mark.parametrize("name", NETWORKS)
def test_one_line_of_timm_loads_it_and_only_with_pretrained(name, tmp_path):
    model, channels = build(name), NETWORKS[name][2]
    where = f"local-dir:{write(model, name, tmp_path / 'encoder')}"
    assert same(model, timm.create_model(where, pretrained=True).eval(), channels) < 1e-5
    assert same(model, timm.create_model(where, pretrained=False).eval(), channels) > 1e-2


@pytest.mark.parametrize("name", NETWORKS)
def test_a_new_classifier_stands_on_an_equal_backbone(name, tmp_path):
    model, channels = build(name), NETWORKS[name][2]
    classifier = timm.create_model(f"local-dir:{write(model, name, tmp_path / 'e')}", pretrained=True, num_classes=10)
    assert classifier.get_classifier().weight.shape[0] == 10
    loaded = classifier.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in model.state_dict().items())
    classifier.eval().reset_classifier(0)
    assert same(model, classifier, channels) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_the_preprocessing_is_ours_and_not_imagenets(name, tmp_path):
    channels = NETWORKS[name][2]
    model, preprocessing = load_timm_folder(write(build(name), name, tmp_path / "encoder", mean=[0.1] * channels))
    data = timm.data.resolve_model_data_config(model)
    assert data["input_size"] == (channels, 32, 32)
    assert (tuple(data["mean"]), tuple(data["std"])) == ((0.1,) * channels, (0.25,) * channels)
    assert (data["interpolation"], data["crop_pct"], data["crop_mode"]) == ("bilinear", 1.0, "center")
    assert preprocessing["mean"] == [0.1] * channels
    assert not model.training


def test_random_weights_in_the_folder_are_caught_by_the_proof_though_every_hash_is_right(tmp_path, same_process):
    model = build("vit")
    folder = write(timm.create_model(f"local-dir:{write(model, 'vit', tmp_path / 'a')}"), "vit", tmp_path / "b")
    check_hashes(folder)
    with pytest.raises(ExportMismatch, match="reloaded features differ by"):
        prove(folder, model, image_size=32, channels=3)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("resnet", {}), ("vit_cls", VIT), ("vit", {**NETWORKS["vit"][1], "global_pool": "max"})],
    ids=["output_stride lost", "global_pool wrong", "global_pool max"],
)
def test_an_argument_that_no_weight_shows_is_caught(name, arguments, tmp_path, same_process):
    """Each leaves the weights' shapes alone, so timm loads it without a word."""
    model = build(name)
    folder = write(model, name, tmp_path / "encoder", arguments=arguments)
    timm.create_model(f"local-dir:{folder}", pretrained=True)
    with pytest.raises(ExportMismatch, match="reloaded features differ by"):
        prove(folder, model, image_size=32, channels=3)


def test_what_does_not_load_at_all_is_reported_with_the_reason(tmp_path):
    model = build("vit")
    folder = write(model, "vit", tmp_path / "encoder", arguments={**NETWORKS["vit"][1], "depth": 3})
    with pytest.raises(ExportMismatch, match=r"does not load in a process of its own: .*blocks\.2"):
        prove(folder, model, image_size=32, channels=3)


def test_a_model_that_says_nothing_proves_nothing(tmp_path):
    model = build("resnet")
    for value in (0.0, float("nan")):
        nn.init.constant_(model.layer4[1].bn2.weight, value)
        broken = nn.Sequential(model, nn.Threshold(float("inf"), value))
        with pytest.raises(ExportMismatch, match="nothing to compare"):
            prove(write(model, "resnet", tmp_path / str(value)), broken, image_size=32, channels=3)


def test_ssl_patches_cannot_be_imported_there_even_when_it_lies_on_the_path(tmp_path):
    """Without the blocker it can: nothing else stands between."""
    root = str(Path(timm_folder.__file__).parents[2])
    script = proof.RELOAD.read_text().split("if __name__")[0] + f"print(isolate(({root!r},)))\n"
    unblocked = script.replace("sys.meta_path.insert(0, Blocker())", "pass")
    assert unblocked != script
    for source, isolated in ((script, "True"), (unblocked, "False")):
        done = subprocess.run([sys.executable, "-I", "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == isolated


def test_a_proof_from_a_process_that_is_not_isolated_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "_in_another_process", lambda *given: reload.difference(*map(str, given)) | {"isolated": False})
    with pytest.raises(ExportMismatch, match="could be imported"):
        prove(write(build("vit"), "vit", tmp_path / "encoder"), build("vit"), image_size=32, channels=3)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "README.md"])
def test_one_changed_byte_is_caught_and_its_file_named(file, tmp_path):
    folder = write(build("vit"), "vit", tmp_path / "encoder")
    check_hashes(folder)
    content = bytearray((folder / file).read_bytes())
    content[-1] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ExportMismatch, match=f"{file} has changed"):
        check_hashes(folder)
    if file != "README.md":  # a remark in the card changes no feature
        with pytest.raises(ExportMismatch, match=f"{file} has changed"):
            load_timm_folder(folder)


def test_a_missing_file_and_a_folder_that_is_no_export_are_told_apart(tmp_path):
    folder = write(build("vit"), "vit", tmp_path / "encoder")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ExportMismatch, match=r"model\.safetensors is missing"):
        load_timm_folder(folder)
    with pytest.raises(ValueError, match=r"has no ssl_patches\.json"):
        load_timm_folder(tmp_path)


@pytest.mark.parametrize("last", ["save_file", "readme", "write_card"])
def test_what_dies_half_way_leaves_no_final_name(last, tmp_path, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(timm_folder, last, die)
    with pytest.raises(KeyboardInterrupt):
        write(build("vit"), "vit", tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == []


def test_what_dies_half_way_leaves_the_old_export_alone(tmp_path, monkeypatch):
    folder = write(build("vit"), "vit", tmp_path / "encoder")
    monkeypatch.setattr(timm_folder, "write_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(build("vit_dynamic"), "vit_dynamic", folder, overwrite=True)
    check_hashes(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_an_output_in_use_is_refused_and_an_export_is_replaced_on_request(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    write(build("vit"), "vit", folder)  # empty is free
    with pytest.raises(ValueError, match=r"output=.*must be new or empty.*overwrite=true"):
        write(build("vit"), "vit", folder)
    (folder / "stale").touch()
    write(build("resnet"), "resnet", folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "README.md", timm_folder.CARD}
    assert list(tmp_path.iterdir()) == [folder]
    assert same(build("resnet"), load_timm_folder(folder)[0]) < 1e-5


def test_overwrite_never_deletes_a_folder_that_is_no_export(tmp_path):
    precious = tmp_path / "thesis.tex"
    precious.touch()
    with pytest.raises(ValueError, match="must not delete"):
        write(build("vit"), "vit", tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        write(build("vit"), "vit", precious, overwrite=True)
    assert precious.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 1, "mean": [0.5], "std": [0.5], "arguments": {**VIT, "in_chans": 3}}, r"arguments\.in_chans=3"),
        ({"image_size": 64}, r"arguments\.img_size=32: must be 64"),
        ({"mean": [0.5]}, r"mean=\[0\.5\]: must have one number per channel"),
        ({"std": [0.5, 0, 0.5]}, "must be above 0"),
        ({"interpolation": "best"}, "interpolation=best"),
        ({"crop_pct": 1.2}, r"crop_pct=1\.2"),
        ({"card": {"loss": float("nan")}}, "must be plain JSON"),
        ({"arguments": {**VIT, "norm_layer": nn.LayerNorm}}, r"arguments\.norm_layer"),
    ],
)
def test_a_bad_request_names_its_key_and_writes_nothing(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write(build("vit"), "vit", tmp_path / "encoder", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_or_half_precision_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"without a classifier.*reset_classifier"):
        write(timm.create_model("resnet18", num_classes=10), "resnet", tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"must be float32.*model\.float"):
        write(build("resnet").half(), "resnet", tmp_path / "encoder")


def test_card_readme_and_weights_say_what_was_given(tmp_path):
    model = build("resnet_gray").to(memory_format=torch.channels_last)
    folder = write(model, "resnet_gray", tmp_path / "encoder")
    card = read_card(folder)
    assert {key: card[key] for key in CARD} == CARD
    assert card["versions"]["timm"] == timm.__version__
    assert set(card["files"]) == {"config.json", "model.safetensors", "README.md"}
    text = (folder / "README.md").read_text()
    assert 'timm.create_model("local-dir:path/to/this/folder", pretrained=True)' in text
    assert "jigsaw" in text
    assert str(tmp_path) not in text
    stored = load_file(folder / "model.safetensors")
    assert all(torch.equal(stored[key], value) for key, value in model.state_dict().items())


def test_an_encoder_is_calibrated_on_a_copy_proven_and_can_be_verified_again(tmp_path, same_process):
    encoder = HeldModel("resnet")
    before = copy.deepcopy(encoder.state_dict())
    batches = [torch.randn(8, 3, 32, 32) + 1 for _ in range(2)]
    given = {"image_size": 32, "mean": [0.4] * 3, "std": [0.25] * 3, "card": CARD}
    found = export_encoder(encoder, tmp_path / "a", **given, calibration=batches)
    export_encoder(encoder, tmp_path / "b", **given)
    assert read_card(tmp_path / "a")["proof"]["largest_relative_difference"] == found.largest_relative_difference <= 1e-5
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert same(encoder.model, load_timm_folder(tmp_path / "b")[0]) < 1e-5
    assert same(encoder.model, load_timm_folder(tmp_path / "a")[0]) > 1e-2
    assert verify(tmp_path / "a").isolated


def test_verify_catches_weights_that_were_exchanged_with_their_hash(tmp_path, same_process):
    folder = tmp_path / "encoder"
    export_encoder(HeldModel("vit"), folder, image_size=32, mean=[0.4] * 3, std=[0.25] * 3, card=CARD)
    weights = load_file(folder / "model.safetensors")
    weights["blocks.0.mlp.fc1.weight"] *= 1.01
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    timm_folder.write_card(folder, CARD)
    check_hashes(folder)
    with pytest.raises(ExportMismatch, match="differ by"):
        verify(folder)


def test_an_export_that_fails_its_proof_never_gets_its_name(tmp_path, same_process):
    encoder = HeldModel("resnet")
    encoder.arguments = {}  # forgets output_stride=8
    with pytest.raises(ExportMismatch, match="differ by"):
        export_encoder(encoder, tmp_path / "encoder", image_size=32, mean=[0.4] * 3, std=[0.25] * 3, card=CARD)
    assert list(tmp_path.iterdir()) == []


def test_the_reference_ignores_reduced_precision_and_puts_it_back():
    matmul = torch.backends.mkldnn.matmul
    before = torch.get_float32_matmul_precision()
    model, images = build("vit"), reference_images(8, 3, 32)
    expected = proof.outputs_of(model, images)
    try:
        torch.set_float32_matmul_precision("medium")
        chosen = matmul.fp32_precision
        with proof.full_precision():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == chosen != "ieee"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(proof.outputs_of(model, images), expected)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("name", ["vit", "resnet_gray"])
def test_transformers_loads_the_same_features(name, tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    model, images = build(name), reference_images(8, NETWORKS[name][2], 32)
    loaded = transformers.AutoModel.from_pretrained(write(model, name, tmp_path / "encoder")).eval()
    with torch.inference_mode():
        expected = model(images)
        assert (loaded(images).pooler_output - expected).abs().max() <= 1e-5 * expected.abs().max()
