"""An export loads in one line of timm, gives the same features, and appears whole or not at all."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import timm
import torch
from networks import (
    CARD,
    NETWORKS,
    VIT,
    HeldModel,
    build,
    exportable,
    inputs,
    preprocessing,
    proven_in_this_process,
    same,
    write,
)
from safetensors.torch import load_file
from torch import nn

from ssl_patches.encoders.exported import CARD as CARD_FILE
from ssl_patches.export import (
    ExportMismatch,
    add_results,
    check_hashes,
    export_encoder,
    load_timm_folder,
    read_card,
    reference,
    timm_folder,
    verify,
)
from ssl_patches.export import write as writing

FILES = {"config.json", "model.safetensors", "README.md", "reference.npz", CARD_FILE}


EACH = [
    pytest.param(name, marks=[] if name in ("vit", "resnet") else pytest.mark.slow)
    for name in NETWORKS
]


@pytest.fixture(autouse=True)
def same_process():
    with proven_in_this_process():
        yield


@pytest.mark.parametrize("name", EACH)
def test_one_line_of_timm_loads_it_and_only_with_pretrained(name, tmp_path):
    model, channels = build(name), NETWORKS[name][2]
    assert write(name, tmp_path / "encoder", model).largest_relative_difference <= 1e-5
    where = f"local-dir:{tmp_path / 'encoder'}"
    assert same(model, timm.create_model(where, pretrained=True).eval(), channels) < 1e-5
    assert same(model, timm.create_model(where, pretrained=False).eval(), channels) > 1e-2


@pytest.mark.parametrize("name", EACH)
def test_a_new_classifier_stands_on_an_equal_backbone(name, tmp_path):
    model, channels = build(name), NETWORKS[name][2]
    write(name, tmp_path / "e", model)
    classifier = timm.create_model(f"local-dir:{tmp_path / 'e'}", pretrained=True, num_classes=10)
    assert classifier.get_classifier().weight.shape[0] == 10
    loaded = classifier.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in model.state_dict().items())
    classifier.eval().reset_classifier(0)
    assert same(model, classifier, channels) < 1e-5


def test_a_vit_takes_other_sizes_as_it_is(tmp_path):
    write("vit", tmp_path / "e")
    model = timm.create_model(f"local-dir:{tmp_path / 'e'}", pretrained=True).eval()
    with torch.inference_mode():
        assert model(inputs(size=(24, 48))).shape == (8, 48)


@pytest.mark.parametrize("name", ["vit", "resnet_gray"])
def test_the_preprocessing_is_ours_and_not_imagenets(name, tmp_path):
    channels = NETWORKS[name][2]
    write(name, tmp_path / "encoder")
    model, said = load_timm_folder(tmp_path / "encoder")
    data = timm.data.resolve_model_data_config(model)
    assert data["input_size"] == (channels, 32, 32)
    assert (tuple(data["mean"]), tuple(data["std"])) == ((0.4,) * channels, (0.25,) * channels)
    assert (data["interpolation"], data["crop_pct"], data["crop_mode"]) == (
        "bilinear",
        1.0,
        "center",
    )
    assert said["mean"] == [0.4] * channels
    assert not model.training


def test_random_weights_in_the_folder_are_caught_by_the_proof(tmp_path, monkeypatch):
    def forgetful(folder, given, *, precision):
        fresh = timm.create_model(given.architecture, num_classes=0, **given.arguments)
        written(folder, exportable("vit", fresh), precision=precision)

    written = timm_folder.write
    monkeypatch.setattr(timm_folder, "write", forgetful)
    with pytest.raises(ExportMismatch, match="reloaded features differ by"):
        write("vit", tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet", {"layers": [1, 1, 1, 1], "channels": [16, 24, 32, 48]}),
        ("vit_cls", {**VIT, "class_token": True}),
        ("vit", {**NETWORKS["vit"][1], "global_pool": "max"}),
    ],
    ids=["output_stride lost", "global_pool wrong", "global_pool max"],
)
def test_an_argument_that_no_weight_shows_is_caught(name, arguments, tmp_path):
    """Each leaves the weights' shapes alone, so timm loads it without a word."""
    given = exportable(name, arguments=arguments)
    with pytest.raises((ExportMismatch, RuntimeError), match=r"differ by|reference has"):
        writing.export_model(given, tmp_path / "encoder", wanted=writing.ExportRequest(), card=CARD)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_says_nothing_proves_nothing(tmp_path):
    for value in (0.0, float("nan")):
        model = build("resnet")
        for weight in (
            model.layer4[0].bn2.weight,
            model.layer4[0].bn2.bias,
            model.layer4[0].downsample[1].weight,
        ):
            nn.init.constant_(weight, value)
        nn.init.constant_(model.layer4[0].downsample[1].bias, value)
        with pytest.raises(ExportMismatch, match="nothing to compare"):
            write("resnet", tmp_path / str(value), model)


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_truncated_weights_are_refused_by_everything_that_reads_them(content, tmp_path):
    write("vit", tmp_path / "encoder")
    weights = tmp_path / "encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100] if content is None else content)
    for read in (verify, load_timm_folder):
        with pytest.raises(ExportMismatch, match=r"model\.safetensors has changed"):
            read(tmp_path / "encoder")


def test_a_missing_file_a_damaged_card_and_a_folder_that_is_no_export_are_told_apart(tmp_path):
    folder = tmp_path / "encoder"
    write("vit", folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ExportMismatch, match=r"model\.safetensors is missing"):
        load_timm_folder(folder)
    (folder / CARD_FILE).write_text('{"files"')
    with pytest.raises(ExportMismatch, match=r"ssl_patches\.json is damaged"):
        verify(folder)
    with pytest.raises(ValueError, match=r"has no ssl_patches\.json"):
        load_timm_folder(tmp_path)


def test_weights_that_are_a_pickle_with_code_are_not_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    write("vit", tmp_path / "encoder")
    (tmp_path / "encoder" / "model.safetensors").unlink()
    torch.save(
        {"weight": Evil()}, tmp_path / "encoder" / "pytorch_model.bin"
    )  # what timm would take instead
    for read in (verify, load_timm_folder):
        with pytest.raises(ExportMismatch, match=r"model\.safetensors is missing"):
            read(tmp_path / "encoder")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "encoder" / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "ran").exists()  # the bomb is live


@pytest.mark.parametrize("last", ["write_formats", "compare_formats", "readme", "write_card"])
def test_what_dies_half_way_leaves_no_final_name(last, tmp_path, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, last, die)
    with pytest.raises(KeyboardInterrupt):
        write("vit", tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == []


def test_what_dies_half_way_leaves_the_old_export_alone(tmp_path, monkeypatch):
    write("vit", tmp_path / "encoder")
    monkeypatch.setattr(writing, "write_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write("vit_cls", tmp_path / "encoder", overwrite=True)
    check_hashes(tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == [tmp_path / "encoder"]


def test_an_output_in_use_is_refused_and_an_export_is_replaced_on_request(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    write("vit", folder)  # empty is free
    with pytest.raises(ValueError, match=r"output=.*must be new or empty.*overwrite=true"):
        write("vit", folder)
    (folder / "stale").touch()
    with pytest.raises(ValueError, match="holds stale, which no export wrote"):
        write("resnet", folder, overwrite=True)
    (folder / "stale").unlink()
    write("resnet", folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == FILES
    assert list(tmp_path.iterdir()) == [folder]
    assert same(build("resnet"), load_timm_folder(folder)[0]) < 1e-5


def test_overwrite_never_deletes_a_folder_that_is_no_export(tmp_path):
    precious = tmp_path / "thesis.tex"
    precious.touch()
    with pytest.raises(ValueError, match="must not delete"):
        write("vit", tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        write("vit", precious, overwrite=True)
    assert precious.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preprocessing": {"mean": [0.5], "std": [0.5]}}, r"arguments\.in_chans=3"),
        ({"preprocessing": {"image_size": 64}}, r"arguments\.img_size=32: must be 64"),
        (
            {"preprocessing": {"mean": [0.5]}},
            r"mean=\[0\.5\], std=.*must have one number per channel",
        ),
        ({"preprocessing": {"std": [0.5, 0, 0.5]}}, "must be above 0"),
        ({"preprocessing": {"interpolation": "best"}}, "interpolation=best"),
        ({"preprocessing": {"crop_pct": 1.2}}, r"crop_pct=1\.2"),
        ({"card": {"loss": float("nan")}}, "must be plain JSON"),
        (
            {"arguments": {**VIT, "class_token": False, "norm_layer": nn.LayerNorm}},
            r"arguments\.norm_layer",
        ),
        ({"wanted": {"formats": []}}, r"formats=\[\]: must name one"),
        (
            {"wanted": {"formats": ["onxx"]}},
            r"formats=\[onxx\]: no such format; did you mean 'onnx'",
        ),
        ({"wanted": {"input": "uint8"}}, r"input=uint8: is for graphs"),
    ],
)
def test_a_bad_request_names_its_key_and_writes_nothing(changes, message, tmp_path):
    def ask() -> None:
        arguments = {**NETWORKS["vit"][1], "in_chans": 3, **changes.get("arguments", {})}
        given = exportable(
            "vit",
            arguments=arguments,
            preprocessing=preprocessing(3, **changes.get("preprocessing", {})),
        )
        wanted = writing.ExportRequest(**changes.get("wanted", {}))
        writing.export_model(
            given, tmp_path / "encoder", wanted=wanted, card=changes.get("card", CARD)
        )

    with pytest.raises(ValueError, match=message):
        ask()
    assert list(tmp_path.iterdir()) == []


def test_weights_are_stored_as_they_were(tmp_path):
    model = build("resnet_gray").to(memory_format=torch.channels_last)
    write("resnet_gray", tmp_path / "e", model)
    stored = load_file(tmp_path / "e" / "model.safetensors")
    assert all(torch.equal(stored[key], value) for key, value in model.state_dict().items())
    assert read_card(tmp_path / "e")["versions"]["timm"] == timm.__version__


def test_an_encoder_is_calibrated_on_a_copy_proven_and_can_be_verified_again(tmp_path):
    encoder = HeldModel("resnet")
    before = copy.deepcopy(encoder.state_dict())
    batches = [torch.randn(8, 3, 32, 32) + 1 for _ in range(2)]
    given = {"image_size": 32, "mean": [0.4] * 3, "std": [0.25] * 3, "card": CARD}
    found = export_encoder(encoder, tmp_path / "a", **given, calibration=batches)
    export_encoder(encoder, tmp_path / "b", **given)
    assert (
        read_card(tmp_path / "a")["proof"]["largest_relative_difference"]
        == found.largest_relative_difference
        <= 1e-5
    )
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert same(encoder.model, load_timm_folder(tmp_path / "b")[0]) < 1e-5
    assert same(encoder.model, load_timm_folder(tmp_path / "a")[0]) > 1e-2
    assert verify(tmp_path / "a").isolated


def test_results_are_added_without_a_moment_in_which_the_folder_is_half(tmp_path, monkeypatch):
    folder = tmp_path / "encoder"
    write("vit", folder)
    rows = [
        {
            "model": "trained",
            "data": "d",
            "metric": "knn20_top1",
            "value": 51.25,
            "low": 1.0,
            "high": 99.0,
            "n": 7,
        }
    ]
    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_card", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            add_results(folder, rows)
    check_hashes(folder)
    add_results(folder, rows)
    verify(folder)
    assert read_card(folder)["results"] == rows
    assert "| trained | d | knn20_top1 | 51.25 |" in (folder / "README.md").read_text()
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ExportMismatch, match="has changed"):  # a new hash must not bless it
        add_results(folder, rows)


def test_the_folder_does_not_grow_with_the_dense_maps():
    given = exportable("vit")
    small, large = (
        sum(array.nbytes for array in reference.reference_of(part, 8).arrays.values())
        for part in (given, given.resized(64))
    )
    assert large < 1.1 * small


@pytest.mark.parametrize("name", ["vit", pytest.param("resnet_gray", marks=pytest.mark.slow)])
def test_transformers_loads_the_same_features(name, tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    model, images = build(name), inputs(NETWORKS[name][2])
    write(name, tmp_path / "encoder", model)
    loaded = transformers.AutoModel.from_pretrained(Path(tmp_path / "encoder")).eval()
    with torch.inference_mode():
        expected = model(images)
        assert (loaded(images).pooler_output - expected).abs().max() <= 1e-5 * expected.abs().max()
