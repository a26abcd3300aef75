"""One ViT and one CNN through every format: equal to what was trained, in processes that cannot
help."""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from networks import (
    CARD,
    NETWORKS,
    VIT,
    build,
    exportable,
    inputs,
    preprocessing,
    proven_in_this_process,
    stirred,
    write,
)
from safetensors.torch import load_file, save_file
from small import REPOSITORY

from ssl_patches.cli import main
from ssl_patches.encoders import exported
from ssl_patches.encoders.exported import CARD as CARD_FILE
from ssl_patches.export import (
    Exportable,
    ExportMismatch,
    Wanted,
    card,
    export_model,
    graphs,
    proof,
    read_card,
    reload,
    verify,
)
from ssl_patches.export.rounding import TOLERANCES

FORMATS = ("timm", "onnx", "torch_export")
INPUT = {"vit": "float32", "resnet": "uint8"}


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> dict[str, Path]:
    """Written by this process; ``verify`` proves them in others."""
    folder, found = tmp_path_factory.mktemp("exports"), {}
    with proven_in_this_process(64):
        for name, given in INPUT.items():
            write(name, folder / name, formats=FORMATS, input=given, license="mit")
            found[name] = folder / name
    return found


@pytest.fixture
def same_process():
    with proven_in_this_process():
        yield


@pytest.mark.slow  # a process for each format
@pytest.mark.parametrize("name", INPUT)
def test_every_format_gives_the_same_features_in_a_process_of_its_own(name, exports, capsys):
    capsys.readouterr()
    assert main(["verify", str(exports[name]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["isolated"] is True
    assert set(found["formats"]) == set(FORMATS)
    assert 0 <= found["largest_relative_difference"] == max(found["formats"].values()) <= 1e-5
    assert found["images"] == 64
    assert len(found["sizes"]) == 3
    assert any(height != width for height, width in found["sizes"])


def test_a_folder_is_mostly_weights(exports):
    for name, folder in exports.items():
        weights = 4 * sum(value.numel() for value in build(name).state_dict().values())
        assert sum(path.stat().st_size for path in folder.iterdir()) < 3 * weights + 1_500_000


def inflated(folder: Path) -> dict[str, bytes]:
    """Every exported file, and what is in those that are archives."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in filter(zipfile.is_zipfile, folder.iterdir()):
        with zipfile.ZipFile(path) as archive:
            found |= {f"{path.name}/{name}": archive.read(name) for name in archive.namelist()}
    return found


@pytest.mark.parametrize("name", INPUT)
def test_no_file_names_a_path_of_the_machine(name, exports):
    here = {str(REPOSITORY), os.getcwd(), str(exports[name].parent), str(Path.home())}
    here |= {sys.prefix, sys.base_prefix, os.path.dirname(torch.__file__)}
    content = inflated(exports[name])
    assert {"model.safetensors", "encoder.onnx", "encoder.pt2", CARD_FILE} <= set(content)
    found = [
        (file, path) for file, held in content.items() for path in here if path.encode() in held
    ]
    found += [(file, ".py") for file, held in content.items() if re.search(rb"/\w+\.py\b", held)]
    assert not found


def test_a_proof_from_a_process_that_is_not_isolated_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        proof, "_in_another_process", lambda *given: {"found": [], "isolated": False}
    )
    with pytest.raises(ExportMismatch, match="could be imported"):
        write("vit", tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", INPUT)
def test_a_graph_names_its_axes_and_carries_its_preprocessing(name, exports):
    import onnxruntime

    session = onnxruntime.InferenceSession(exports[name] / graphs.ONNX)
    (image,) = session.get_inputs()
    assert (image.name, image.shape) == ("image", ["batch", 3, "height", "width"])
    assert image.type == {"vit": "tensor(float)", "resnet": "tensor(uint8)"}[name]
    assert [output.name for output in session.get_outputs()] == ["pooled", "dense"]
    extra = {graphs.METADATA: ""}
    torch.export.load(exports[name] / graphs.TORCH_EXPORT, extra_files=extra)
    said = [
        json.loads(text)
        for text in (
            session.get_modelmeta().custom_metadata_map[graphs.METADATA],
            extra[graphs.METADATA],
        )
    ]
    assert said[0] == said[1]
    assert said[0]["preprocessing"] == read_card(exports[name])["preprocessing"]
    assert said[0]["preprocessing"]["mean"] == [0.4] * 3


def test_images_of_another_channel_count_are_refused_by_the_graphs(exports):
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    gray = inputs(1)
    session = onnxruntime.InferenceSession(exports["vit"] / graphs.ONNX)
    with pytest.raises(InvalidArgument, match="Expected: 3"):
        session.run(None, {"image": gray.numpy()})
    program = torch.export.load(exports["vit"] / graphs.TORCH_EXPORT).module()
    with pytest.raises(AssertionError, match="== 3"):
        program(gray)


@pytest.mark.parametrize("name", INPUT)
def test_dense_features_are_where_they_belong_and_pooled_is_their_mean(name, exports):
    """Changing one corner of an image changes that corner of a CNN's map most; the mean over
    positions is pooled."""
    images = np.full((2, 3, 32, 64), 128, np.uint8)
    images[1, :, :8, -8:] = 255
    for form in FORMATS:
        pooled, dense = reload.READERS[form](str(exports[name]))(images)
        assert dense.shape[2:] == (4, 8)
        assert np.abs(dense.mean((2, 3)) - pooled).max() < 1e-5 * np.abs(dense).max()
        moved = np.abs(dense[1] - dense[0]).sum(0)
        assert np.unravel_index(moved.argmax(), moved.shape) == (0, 7)


def test_the_card_carries_what_a_stranger_asks_for(exports):
    for name, folder in exports.items():
        found = read_card(folder)
        assert {key: found[key] for key in CARD} == CARD
        assert found["license"] == "mit"
        assert set(found["files"]) == {path.name for path in folder.iterdir()} - {exported.CARD}
        assert {
            "value_range",
            "interpolation",
            "mean",
            "std",
            "channels",
            "height",
            "width",
        } <= set(found["preprocessing"])
        assert set(found["proof"]["formats"]) == set(FORMATS)
        assert found["arguments"].items() >= NETWORKS[name][1].items()
        text = (folder / "README.md").read_text()
        for part in (
            "local-dir:path/to/this/folder",
            "encoder.onnx",
            "encoder.pt2",
            "jigsaw",
            "Licence: mit",
            "1e-05",
        ):
            assert part in text
        assert str(folder) not in text


def test_the_model_card_is_read_by_the_hub(exports):
    from huggingface_hub import ModelCard

    head = ModelCard.load(exports["vit"] / "README.md").data.to_dict()
    assert (head["library_name"], head["license"], head["pipeline_tag"]) == (
        "timm",
        "mit",
        "image-feature-extraction",
    )


@pytest.mark.parametrize(
    "file",
    [
        "config.json",
        "model.safetensors",
        "encoder.onnx",
        "encoder.pt2",
        "README.md",
        "reference.npz",
    ],
)
def test_one_changed_byte_is_caught_and_its_file_named(file, exports, tmp_path):
    import shutil

    folder = Path(shutil.copytree(exports["vit"], tmp_path / "encoder"))
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ExportMismatch, match=f"{file} has changed"):
        verify(folder)


@pytest.mark.parametrize(
    "form", ["timm", "onnx", pytest.param("torch_export", marks=pytest.mark.slow)]
)
def test_a_format_that_is_of_another_network_is_caught_though_every_hash_is_right(
    form, exports, tmp_path, same_process
):
    import shutil

    folder = Path(shutil.copytree(exports["vit"], tmp_path / "encoder"))
    if form == "timm":
        weights = load_file(folder / "model.safetensors")
        weights["blocks.0.mlp.fc1.weight"] *= 1.01
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    elif form == "onnx":
        import onnx

        model = onnx.load(folder / "encoder.onnx")
        said = json.loads(next(prop.value for prop in model.metadata_props))
        said["preprocessing"]["mean"] = [0.5] * 3  # a lost normalisation
        onnx.helper.set_model_props(model, {graphs.METADATA: json.dumps(said)})
        onnx.save(model, folder / "encoder.onnx")
    else:
        other = exportable("vit", stirred(build("vit")))
        graphs.write_graphs(folder, other, Wanted(formats=["torch_export"]))
    card.write_card(
        folder, {key: value for key, value in read_card(folder).items() if key != "files"}
    )
    exported.check_hashes(folder)
    with pytest.raises(ExportMismatch, match=f"differ by.*{form}"):
        verify(folder)


def test_weights_in_fp16_halve_the_file_and_stay_within_what_is_stated(tmp_path, same_process):
    found = {
        precision: write("vit", tmp_path / precision, precision=precision)
        for precision in TOLERANCES
    }
    sizes = {name: (tmp_path / name / "model.safetensors").stat().st_size for name in found}
    assert sizes["fp16"] < sizes["bf16"] + 100 < 0.62 * sizes["fp32"]
    assert (
        found["fp32"].largest_relative_difference
        <= 1e-5
        < found["fp16"].largest_relative_difference
        <= 5e-3
    )
    assert (
        found["fp16"].largest_relative_difference
        < found["bf16"].largest_relative_difference
        <= 5e-2
    )
    assert "5e-3" in main_help("export")
    assert "0.005 is allowed" in (tmp_path / "fp16" / "README.md").read_text()


def main_help(command: str) -> str:
    from ssl_patches.cli.help import HELP

    return HELP[command]


def test_a_position_table_is_resized_to_another_image_size(tmp_path, same_process):
    """The resized export at its size equals the unresized one at that size, and says the new size
    everywhere."""
    write("vit", tmp_path / "own")
    write("vit", tmp_path / "large", image_size=48)
    config = json.loads((tmp_path / "large" / "config.json").read_text())
    assert config["model_args"]["img_size"] == 48
    assert config["pretrained_cfg"]["input_size"] == [3, 48, 48]
    assert read_card(tmp_path / "large")["preprocessing"]["height"] == 48
    own, large = (
        timm.create_model(f"local-dir:{tmp_path / name}", pretrained=True).eval()
        for name in ("own", "large")
    )
    assert large.pos_embed.shape[1] == 36 != own.pos_embed.shape[1]
    with torch.inference_mode():
        a, b = (model(inputs(size=(48, 48))) for model in (own, large))
    assert (a - b).abs().max() <= 1e-5 * a.abs().max()


def test_a_network_of_one_size_only_is_proven_at_it_and_says_so(tmp_path, same_process):
    found = write("vit_fixed", tmp_path / "a")
    assert found.sizes == ((32, 32),)
    assert "the only size that this network takes" in found.lines()[0]
    assert "Other image sizes: none" in (tmp_path / "a" / "README.md").read_text()


def choosing(model, images):
    """A forward that depends on its data, which no graph can hold."""
    features = type(model).forward_features(model, images)
    return features * 2 if images.sum() > 0 else features


def bessel(model, images):
    """An operation that torch.export knows and ONNX does not."""
    return type(model).forward_features(model, torch.special.i1e(images))


def test_verify_says_what_it_needs(exports, monkeypatch):
    monkeypatch.setattr(proof.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"needs onnxruntime to be verified; install ssl-patches\[export\]"
    ):
        verify(exports["vit"])


FAMILIES = {
    "vit registers": ("vit_tiny_patch16_224", {**VIT, "class_token": True, "reg_tokens": 2}, 3),
    "vit class token": ("vit_tiny_patch16_224", {**VIT, "class_token": True}, 3),
    "vit patch 4": ("vit_tiny_patch16_224", {**VIT, "class_token": False, "patch_size": 4}, 3),
    "vit fixed": (
        "vit_tiny_patch16_224",
        {**VIT, "class_token": False, "dynamic_img_size": False},
        3,
    ),
    "vit gray": ("vit_tiny_patch16_224", {**VIT, "class_token": False, "in_chans": 1}, 1),
    "vit 5 channels": ("vit_tiny_patch16_224", {**VIT, "class_token": False, "in_chans": 5}, 5),
    "deit": ("deit_tiny_patch16_224", {**VIT, "class_token": False}, 3),
    "resnet18": ("resnet18", {"output_stride": 8}, 3),
    "resnet18 stride 32": ("resnet18", {"output_stride": 32}, 3),
    "resnet50": ("resnet50", {"output_stride": 16}, 3),
    "seresnet50": ("seresnet50", {"output_stride": 8, "layers": [1, 1, 1, 1]}, 3),
    "resnext50": ("resnext50_32x4d", {"output_stride": 8, "layers": [1, 1, 1, 1]}, 3),
    "convnextv2": (
        "convnextv2_atto",
        {"head_norm_first": True, "patch_size": 1, "depths": [1, 1, 1, 1]},
        3,
    ),
    "efficientnet": ("test_efficientnet", {"output_stride": 8}, 3),
    "wide_resnet50": ("wide_resnet50_2", {"output_stride": 8, "layers": [1, 1, 1, 1]}, 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_takes_every_format(family, precision, tmp_path, same_process):
    architecture, arguments, channels = FAMILIES[family]
    model = stirred(timm.create_model(architecture, num_classes=0, **arguments))
    subject = Exportable(
        model=model,
        architecture=architecture,
        arguments=arguments,
        preprocessing=preprocessing(channels),
    )
    given = "uint8" if precision == "fp16" else "float32"
    formats = [
        form for form in FORMATS if form != "torch_export" or subject.positions > 1
    ]  # refused: the test below
    found = export_model(
        subject,
        tmp_path / "a",
        wanted=Wanted(formats=formats, precision=precision, input=given),
        card=CARD,
    )
    assert set(found.formats) == set(formats)
    assert all(value <= TOLERANCES[precision] for value in found.formats.values())
    assert precision == "fp32" or min(found.formats.values()) > 1e-6  # it was rounded
    assert len(found.sizes) == (1 if family == "vit fixed" else 3)
