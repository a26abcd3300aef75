"""Agreement of subsets: disjoint, fair, one pass of tokens, and apart from each other."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.subsets import Subsets, subsets_of
from ssl_patches.training.budget import count_flops

VIT = {"depth": 1, "embed_dim": 48, "num_heads": 3}
RESNET = {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1], "stem_width": 8}


def test_subsets_are_disjoint_and_every_cell_is_as_likely():
    torch.manual_seed(0)
    found = subsets_of(17, 4, batch=4000, device=torch.device("cpu"))
    assert found.shape == (4000, 4, 4)
    assert all(len(set(row.flatten().tolist())) == 16 for row in found[:50])
    share = torch.bincount(found.flatten(), minlength=17) / found.numel()
    assert (share - 1 / 17).abs().max() < 0.003


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_a_subset_knows_nothing_of_the_others(family):
    torch.manual_seed(0)
    if family == "vit":
        net = create(name="vit_tiny_patch16_224", image_size=32, patch_size=8, options=VIT)
        cutter = PatchSampler(image_size=32, unit=net.unit)
    else:
        net = create(name="resnet10t", image_size=32, output_stride=8, options=RESNET)
        cutter = PatchSampler(image_size=32, rows=4, cols=4, tile=8, gap=0, jitter=0)
    net, patches = net.eval(), cutter.eval()(torch.rand(2, 3, 32, 32))
    cells = subsets_of(16, 4, batch=2, device=torch.device("cpu"))
    with torch.no_grad():
        together = net.subsets(patches, cells)
        alone = torch.stack(
            [net.subsets(patches, cells[:, at : at + 1])[:, 0] for at in range(4)], 1
        )
    assert together.shape == (2, 4, net.dim)
    assert torch.allclose(together, alone, atol=1e-5)


def test_four_subsets_cost_less_than_one_pass_over_the_view():
    """Attention looks at a quarter of the tokens."""
    torch.manual_seed(0)
    net = create(name="vit_tiny_patch16_224", image_size=32, patch_size=4, options=VIT)
    cutter = PatchSampler(image_size=32, unit=net.unit)
    task = Subsets(dim=net.dim, grid=cutter.grid, hidden=8, out=4)

    def subsets(twin: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        return task(cutter(images), twin).loss

    def whole(twin: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        return twin.pooled(cutter(images)).sum()

    images = torch.rand(4, 3, 32, 32)
    assert count_flops(net, subsets, images) < 1.05 * count_flops(net, whole, images)


@pytest.mark.parametrize("count", [1, 17])
def test_a_count_that_the_tiles_do_not_give_is_refused(count):
    cutter = PatchSampler(image_size=32, unit=8)
    with pytest.raises(ValueError, match=f"task.count={count}"):
        Subsets(dim=48, grid=cutter.grid, count=count)
