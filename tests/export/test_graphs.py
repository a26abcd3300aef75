"""Graphs that cannot be written are refused, and others offered."""

from __future__ import annotations

import types

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from networks import (
    CARD,
    build,
    exportable,
    preprocessing,
    write,
)

from ssl_patches.export import (
    Exportable,
    Wanted,
    export_model,
    graphs,
)
from ssl_patches.export.load import load_encoder


def choosing(model, images):
    """A forward that depends on its data, which no graph can hold."""
    features = type(model).forward_features(model, images)
    return features * 2 if images.sum() > 0 else features


def bessel(model, images):
    """An operation that torch.export knows and ONNX does not."""
    return type(model).forward_features(model, torch.special.i1e(images))


FORMATS = ("timm", "onnx", "torch_export")


@pytest.mark.parametrize(
    ("forward", "formats", "form", "others"),
    [
        (choosing, ["timm", "onnx"], "onnx or torch_export", "timm"),
        (choosing, ["torch_export"], "onnx or torch_export", "timm"),
        (bessel, ["onnx"], "onnx", "timm,torch_export"),
    ],
)
def test_a_format_that_an_architecture_cannot_take_is_named_and_the_others_offered(
    forward, formats, form, others, tmp_path
):
    model = build("resnet")
    model.forward_features = types.MethodType(forward, model)
    with pytest.raises(
        ValueError, match=rf"resnet18 cannot be written as {form} \(.+\); set formats=\[{others}\]"
    ):
        write("resnet", tmp_path / "a", model, formats=formats)
    assert list(tmp_path.iterdir()) == []


def test_onnx_says_when_it_is_too_large_or_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "LARGEST_ONNX", 1000)
    with pytest.raises(ValueError, match=r"one file holds 2.*formats=\[timm,torch_export\]"):
        write("vit", tmp_path / "a", formats=["onnx"])
    monkeypatch.setattr(graphs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"needs onnx, onnxscript, onnxruntime; install ssl-patches\[export\]"
    ):
        write("vit", tmp_path / "a", formats=["onnx"])


def test_a_graph_of_one_position_is_refused_before_anything_is_written(tmp_path):
    architecture, arguments = "resnet18", {"output_stride": 32, "layers": [1, 1, 1, 1]}
    model = timm.create_model(architecture, num_classes=0, **arguments).eval()
    subject = Exportable(
        model=model, architecture=architecture, arguments=arguments, preprocessing=preprocessing(3)
    )
    with pytest.raises(
        ValueError, match=r"32 px are one position of 32 px.*set formats=\[timm,onnx\]"
    ):
        export_model(subject, tmp_path / "a", wanted=Wanted(formats=FORMATS), card=CARD)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_graph_of_stored_values_takes_16_bits_as_they_are(tmp_path):
    """What load_encoder prepares of them, as training did, gives the same features."""
    images = preprocessing(1, stored_range=(0, 4095))
    subject = exportable("resnet_gray", preprocessing=images)
    wanted = Wanted(formats=("timm", "onnx"), input="uint16")
    export_model(subject, tmp_path / "out", wanted=wanted, card={})
    session = onnxruntime.InferenceSession(tmp_path / "out" / "encoder.onnx")
    stored = np.random.default_rng(0).integers(0, 4096, (2, 1, 32, 32)).astype(np.uint16)
    pooled, _ = session.run(["pooled", "dense"], {"image": stored})
    encoder, preprocess = load_encoder(tmp_path / "out")
    assert preprocess.value_range == (0, 4095)
    with torch.inference_mode():
        want = encoder(torch.stack([preprocess(torch.from_numpy(one)) for one in stored]))
    assert np.abs(pooled - want.numpy()).max() < 1e-4 * want.abs().max()
    text = (tmp_path / "out" / "README.md").read_text()
    assert "0 black and 4095 white" in text


def test_what_16_bits_cannot_hold_is_refused(tmp_path):
    for stored_range in ((-1000, 400), (0, 100)):
        subject = exportable(
            "resnet_gray", preprocessing=preprocessing(1, stored_range=stored_range)
        )
        with pytest.raises(ValueError, match=r"input=uint16: .*set input=float32"):
            export_model(
                subject, tmp_path / "out", wanted=Wanted(formats=("onnx",), input="uint16"), card={}
            )
