"""A task at work is drawn with its arrows, tiles at their cells."""

from __future__ import annotations

import torch
from matplotlib.image import imread

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.relative import Relative
from ssl_patches.training.figures.task import PAPER, draw_task, lay_out
from ssl_patches.types import PatchBatch, PatchGrid, Picture
from ssl_patches.views import Whole


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


def test_tiles_lie_at_their_cells_and_the_rest_is_paper():
    sampler = PatchSampler(image_size=12, rows=2, cols=2, gap=2)
    tiles = torch.zeros(1, 1, 3, sampler.tile, sampler.tile)
    picture = Picture("one", tiles, torch.tensor([[3]]))
    page = lay_out(picture, sampler.grid, sampler)[0, 0]
    half = page.shape[-1] // 2
    assert (page[:half, :half] == PAPER).all()
    assert (page[half:, half:] != PAPER).any()


def test_modes_are_put_back_and_a_file_is_written(tmp_path):
    sampler = PatchSampler(image_size=24, rows=3, cols=3, gap=1).train()
    options = {"depth": 1, "embed_dim": 8, "num_heads": 1}
    encoder = create(
        name="vit_tiny_patch16_224",
        image_size=24,
        patch_size=sampler.tile,
        options=options,
    )
    drawn = draw_task(
        tmp_path / "a.png",
        images=torch.randint(256, (2, 3, 24, 24), dtype=torch.uint8),
        views=Whole(image_size=24),
        sampler=sampler,
        task=Relative(dim=8, grid=sampler.grid).eval(),
        encoder=encoder.train(),
        title="x",
    )
    assert drawn
    assert sampler.training
    assert encoder.training
    assert imread(tmp_path / "a.png").std() > 0.05
