"""What taught weights is told by names and heads; `masked` on the wrong ones is warned of."""

import pytest
import timm
import torch
from torchvision.models import mobilenet_v2

from ssl_patches.encoders.origin import caution, taught_by


@pytest.fixture
def file_of(tmp_path):
    def saved(state, name="weights.pth"):
        torch.save(state, tmp_path / name)
        return str(tmp_path / name)

    return saved


def test_a_classifier_says_labels_and_a_name_says_more(file_of):
    with_head = timm.create_model("test_resnet", num_classes=3).state_dict()
    without = timm.create_model("test_resnet", num_classes=0).state_dict()
    assert taught_by(file_of(with_head), "test_resnet") == "labels"
    assert taught_by(file_of(without), "test_resnet") is None
    assert taught_by(file_of(mobilenet_v2(num_classes=2).state_dict()), "any") == "labels"
    for name, what in (("dino_vits16.pth", "DINO"), ("CLIP.pth", "CLIP"), ("mae_b.pth", "MAE")):
        assert taught_by(file_of(without, name), "any") == what


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("vit_small_patch14_dinov2", "DINO"),
        ("vit_base_patch16_clip_224", "CLIP"),
        ("resnet18", "labels"),
        ("test_none_such", None),
    ],
)
def test_timms_own_weights_say_it_by_their_tag(name, what):
    assert taught_by(True, name) == what


def test_only_masked_is_warned_of_and_only_where_it_spoils(file_of):
    labels = file_of(mobilenet_v2(num_classes=2).state_dict())
    said = caution(labels, "mobilenetv2_100", ["masked", "position"])
    assert said is not None
    assert "taught by labels" in said
    assert "docs/encoders.md" in said
    assert "experiment=go_on" in said
    assert caution(labels, "mobilenetv2_100", ["agree"]) is None
    assert caution(None, "mobilenetv2_100", ["masked"]) is None
    assert caution(False, "mobilenetv2_100", ["masked"]) is None
    assert caution(file_of({}, "mae.pth"), "vit", ["masked"]) is None
    assert caution("gone.pth", "vit", ["masked"]) is None  # told when it is loaded
