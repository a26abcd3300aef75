"""Several features of one pass agree with each other and with what is exported."""

import pytest
import timm
import torch
from torch import nn

from ssl_patches.evaluation.features.parts import parts_reader


def noise(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "convnext_atto"])
def test_the_pooled_part_is_what_the_exported_model_returns_whatever_else_is_asked_for(name):
    sizes = {"img_size": 32, "patch_size": 8, "depth": 3} if name.startswith("vit") else {}
    model = timm.create_model(name, pretrained=False, num_classes=0, **sizes).eval()
    images = noise(3, 3, 32, 32, seed=0)
    with torch.inference_mode():
        parts = parts_reader(model, {"pooled", "layers", "tokens"}, device="cpu")(images)
        assert torch.allclose(parts["pooled"], model(images), atol=1e-6)
    last = max(int(part[5:]) for part in parts if part.startswith("mean."))
    assert torch.allclose(parts["tokens"].mean(1), parts[f"mean.{last}"], atol=1e-5)
    assert ("cls.1" in parts) == name.startswith("vit")


def test_a_model_without_layers_is_refused_where_layers_are_asked_for():
    with pytest.raises(ValueError, match=r"Linear tells no layers.*probes=\[knn,linear\]"):
        parts_reader(nn.Linear(2, 2), {"layers"}, device="cpu")
