"""What is exported knows its sizes, and refuses what cannot be."""

from __future__ import annotations

import pytest
import timm
from networks import (
    build,
    exportable,
    preprocessing,
    write,
)

from ssl_patches.export import (
    Exportable,
)


def test_sizes_are_distinct_multiples_of_the_unit():
    for size in (8, 16, 24, 32, 224):
        given = exportable("vit", build("vit"), preprocessing=preprocessing(3, image_size=size))
        sizes = given.sizes()
        assert len(set(sizes)) == 3
        assert all(side % 8 == 0 and side > 0 for pair in sizes for side in pair)
        assert sizes[0] == (size, size)


@pytest.mark.parametrize("image_size", [32, 40, 64, 96, 224])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_proof_looks_at_three_sizes_with_two_positions_along_each_side(image_size, stride):
    model = timm.create_model(
        "resnet18", num_classes=0, output_stride=stride, layers=[1, 1, 1, 1]
    ).eval()
    subject = Exportable(
        model=model,
        architecture="resnet18",
        arguments={},
        preprocessing=preprocessing(3, image_size=image_size),
    )
    sizes = subject.sizes()
    assert len(set(sizes)) == 3
    assert sizes[0] == (image_size, image_size)
    if subject.positions > 1:
        assert min(side for size in sizes for side in size) > stride


@pytest.mark.parametrize("image_size", [20, 4])
def test_a_size_that_holds_no_whole_number_of_patches_is_refused(image_size, tmp_path):
    with pytest.raises(
        ValueError, match=rf"image_size={image_size}: must be a multiple of 8 px.*set image_size="
    ):
        write("vit", tmp_path / "a", image_size=image_size)


def test_a_classifier_or_half_precision_is_refused():
    with pytest.raises(ValueError, match=r"without a classifier.*reset_classifier"):
        exportable("resnet", timm.create_model("resnet18", num_classes=10))
    with pytest.raises(ValueError, match=r"must be float32.*model\.float"):
        exportable("resnet", build("resnet").half())
