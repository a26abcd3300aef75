"""Attention is read from the last block, and the model stays as it was."""

import pytest
import timm
import torch

from ssl_patches.evaluation.attention import attends, last_attention


@pytest.mark.parametrize("token", [False, True])
def test_attention_sums_to_1_over_the_patches_and_reading_it_changes_nothing(token):
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}
    pool = "token" if token else "avg"
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, class_token=token, global_pool=pool, **sizes
    ).eval()
    images, layer = torch.randn(3, 3, 16, 16), model.blocks[-1].attn
    before, fused = model(images), layer.fused_attn
    maps = last_attention(model, images)
    assert maps.shape == (3, 2, 2)
    assert torch.allclose(maps.sum((1, 2)), torch.ones(3))
    assert layer.fused_attn == fused
    assert not layer.attn_drop._forward_pre_hooks
    assert torch.equal(model(images), before)


def test_a_network_without_attention_is_refused():
    model = timm.create_model("test_resnet", num_classes=0)
    assert not attends(model)
    with pytest.raises(ValueError, match="name a ViT"):
        last_attention(model, torch.zeros(1, 3, 32, 32))
