"""The features that an export is compared with."""

from __future__ import annotations

import pytest
import torch
from networks import (
    build,
    exportable,
    preprocessing,
)

from ssl_patches.encoders.exported import ExportMismatch
from ssl_patches.export.reference import (
    full_precision,
    outputs_of,
    reference_images,
    reference_of,
)


def test_the_yardstick_has_distinct_pictures_and_is_the_same_for_ever():
    images = reference_images(64, 3, (32, 48))
    assert len({image.numpy().tobytes() for image in images}) == 64
    assert images.sum().item() == 37_343_172


def test_the_reference_ignores_reduced_precision_and_puts_it_back():
    matmul = torch.backends.mkldnn.matmul
    before = torch.get_float32_matmul_precision()
    model, images, given = build("vit"), reference_images(8, 3, (32, 32)), preprocessing(3)
    expected = outputs_of(model, images, given)[0]
    try:
        torch.set_float32_matmul_precision("medium")
        chosen = matmul.fp32_precision
        with full_precision():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == chosen != "ieee"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(outputs_of(model, images, given)[0], expected)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_model_with_one_feature_that_is_not_finite_has_no_reference(value):
    model = build("vit_fixed")
    with torch.no_grad():
        model.norm.bias[1] = value
    with pytest.raises(ExportMismatch, match="not finite"):
        reference_of(exportable("vit_fixed", model), 2)
