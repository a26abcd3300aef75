"""Pictures of features: what they are made of, on cases that can be seen through."""

from __future__ import annotations

import pytest
import torch
from matplotlib.image import imread

from ssl_patches.encoders import create
from ssl_patches.evaluation.attention import last_attention
from ssl_patches.tasks.relative import Relative
from ssl_patches.training.figures import draw_neighbours, draw_patches
from ssl_patches.training.figures.features import heat, nearest, principal_colours
from ssl_patches.types import PatchBatch, PatchGrid


def test_nearest_is_by_direction_and_never_the_image_itself():
    bank = torch.tensor([[1.0, 0.0], [5.0, 0.1], [0.0, 1.0], [-1.0, 0.0]])
    cosines, places = nearest(bank[[0]], bank, own=[0], k=2)
    assert places.tolist() == [[1, 2]]  # the long one points the same way
    assert cosines[0, 1].item() == pytest.approx(0)


def test_patches_of_like_features_get_like_colours():
    left, right = torch.randn(2, 8, 1, 1, generator=torch.Generator().manual_seed(0))
    dense = torch.cat([left.expand(3, 8, 4, 2), right.expand(3, 8, 4, 2)], 3)
    colours = principal_colours(dense)
    assert colours.shape == (3, 3, 4, 4)
    assert torch.equal(colours[..., :2], colours[:1, :, :1, :1].expand(3, 3, 4, 2))
    assert (colours[0, :, 0, 0] - colours[0, :, 0, 3]).abs().max() > 0.9
    assert torch.equal(principal_colours(torch.ones(2, 8, 3, 3)), torch.zeros(2, 3, 3, 3))


@pytest.mark.parametrize("options", [{}, {"class_token": True}])
def test_attention_is_the_last_blocks_and_the_model_is_left_as_it_was(options):
    torch.manual_seed(0)
    vit = {"name": "vit_tiny_patch16_224", "image_size": 32, "patch_size": 8, "channels": 3}
    model = create(**vit, options={"depth": 2, "embed_dim": 48, "num_heads": 3, **options}).export(
        32
    )
    images = torch.randn(2, 3, 32, 32)
    before = model(images)
    attention = last_attention(model, images)
    assert attention.shape == (2, 4, 4)
    assert torch.allclose(attention.sum((1, 2)), torch.ones(2))
    assert torch.equal(model(images), before)
    layer = model.blocks[-1].attn
    with torch.no_grad():  # queries of zeros ask for nothing: no token is preferred
        layer.qkv.weight[:96].zero_()
        layer.qkv.bias[:96].zero_()
    flat = last_attention(model, images)
    assert torch.allclose(flat, torch.full_like(flat, 1 / 16))


def test_what_is_looked_at_most_is_brightest():
    seen = heat(torch.zeros(1, 3, 4, 4), torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])).mean(1)[0]
    assert seen[0, 0] < 0.01
    assert seen[0, 0] < seen[0, 2] < seen[3, 0] < seen[3, 3]


def test_figures_are_written_with_something_on_them(tmp_path):
    images = torch.randint(256, (8, 1, 16, 16), dtype=torch.uint8)  # grey images too
    draw_neighbours(
        tmp_path / "n.png",
        images=images,
        features=torch.randn(8, 4),
        labels=None,
        queries=[0, 5],
        title="t",
    )
    draw_patches(
        tmp_path / "p.png",
        images=images[:2],
        dense=torch.randn(2, 9, 4, 4),
        attention=None,
        title="t",
    )
    for name in ("n", "p"):
        assert imread(tmp_path / f"{name}.png").std() > 0.05


def test_arrows_of_relative_point_where_the_network_says():
    grid = PatchGrid(3, 3, 8)
    task = Relative(dim=4, grid=grid).eval()
    tiles = torch.rand(2, 9, 3, 8, 8)
    patches = PatchBatch(tiles, torch.zeros(2, 9, 4), torch.ones(2, 9, dtype=torch.bool), (24, 24))

    class Tells:  # an encoder is not needed to say "right": every answer is direction 4
        def scrambled(self, patches):
            from ssl_patches.types import Encoded

            return Encoded(torch.zeros(2, 9, 4), torch.zeros(2, 0, 4))

    with torch.no_grad():
        task.answer[-1].bias.copy_(torch.eye(8)[4] * 100)
        (picture,) = task.preview(patches, Tells())
    assert picture.cells.tolist()[0] == [0, 1, 2, 3, 5, 6, 7, 8, 4]
    assert picture.arrows[:, :8].tolist() == [[[0, 1]] * 8] * 2
    assert picture.arrows[:, 8].tolist() == [[0, 0]] * 2
    assert picture.right[0].tolist() == [cell == 5 for cell in [0, 1, 2, 3, 5, 6, 7, 8]] + [True]
