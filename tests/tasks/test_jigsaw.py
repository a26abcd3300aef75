from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.jigsaw import Jigsaw
from ssl_patches.types import Encoded, PatchBatch, PatchGrid

GRID = PatchGrid(3, 3, 4)


def numbered(count: int = 4) -> PatchBatch:
    """Every pixel of a tile is the number of its cell, but for the image's number in front: 10 *
    image + cell."""
    number = 10.0 * torch.arange(count)[:, None] + torch.arange(9)
    tiles = number[..., None, None, None].expand(-1, -1, 3, 4, 4)
    return PatchBatch(
        tiles,
        torch.zeros(count, 9, 4),
        torch.ones(count, 9, dtype=torch.bool),
        (12, 12),
        uniform=True,
    )


class Counts:
    """An encoder whose feature is the tile's number, and that counts its calls."""

    multiple = 1

    def __init__(self) -> None:
        self.calls = 0

    def scrambled(self, patches: PatchBatch) -> Encoded:
        self.calls += 1
        tiles = patches.tiles[:, :, :1, 0, 0]
        return Encoded(tiles, tiles[:, :0])


class Solves(nn.Module):
    """A head that knows the table: the permutation of which slot s shows tile perm[s] in every
    slot."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table
        self.shown: Tensor | None = None

    def forward(self, shown: Tensor) -> Tensor:
        self.shown = shown
        return ((shown % 10)[:, None] == self.table[None]).sum(2).float()


def test_slot_s_shows_tile_perm_s_of_the_same_image():
    task = Jigsaw(dim=1, grid=GRID, permutations=72, puzzles=5)
    task.projection, task.head = nn.Identity(), Solves(task.table)
    answer = torch.randint(72, (4, 5))
    task._solve(Counts().scrambled(numbered()).tiles, answer)
    expected = 10 * torch.arange(4).repeat_interleave(5)[:, None] + task.table[answer.flatten()]
    assert torch.equal(task.head.shown, expected.float())


def test_who_reads_slots_that_way_is_always_right_and_the_inverse_reading_is_not():
    task = Jigsaw(dim=1, grid=GRID, permutations=72, puzzles=5)
    task.projection, task.head = nn.Identity(), Solves(task.table)
    assert task(numbered(), Counts()).metrics["accuracy"] == 1
    task.head = Solves(task.table.argsort(1))
    torch.manual_seed(0)
    assert task(numbered(), Counts()).metrics["accuracy"] < 0.5


def test_many_puzzles_cost_one_encoding():
    encoder = Counts()
    task = Jigsaw(dim=1, grid=GRID, puzzles=16)
    task(numbered(), encoder)
    assert encoder.calls == 1


@pytest.mark.parametrize("puzzles", [1, 16])
def test_the_network_sees_each_tile_once_however_many_puzzles(puzzles: int):
    torch.manual_seed(0)
    encoder = create(
        name="resnet18", image_size=32, options={"channels": [8, 8, 8, 8], "layers": [1, 1, 1, 1]}
    )
    sampler = PatchSampler(image_size=32, rows=3, cols=3)
    seen: list[int] = []
    encoder.model.conv1.register_forward_hook(lambda _, x, __: seen.append(len(x[0])))
    Jigsaw(dim=encoder.dim, grid=sampler.grid, puzzles=puzzles, hidden=16)(
        sampler(torch.rand(4, 3, 32, 32)), encoder
    )
    assert seen == [4 * 9]


def test_puzzles_differ_within_an_image_and_every_permutation_is_asked_alike():
    task = Jigsaw(dim=1, grid=GRID, permutations=9, puzzles=8)
    task.projection, task.head = nn.Identity(), Solves(task.table)
    torch.manual_seed(0)
    task(numbered(1000), Counts())
    asked = task.head(task.head.shown).argmax(1).view(1000, 8)
    assert (asked != asked[:, :1]).any(1).float().mean() > 0.99
    share = torch.bincount(asked.flatten(), minlength=9) / 8000
    assert (share - 1 / 9).abs().max() < 4.5 * (8 / 81 / 8000) ** 0.5


@pytest.mark.parametrize("permutations", [2, 72, 504])
def test_chance_is_one_over_the_permutations(permutations: int):
    task = Jigsaw(dim=1, grid=GRID, permutations=permutations, hidden=8)
    assert task(numbered(), Counts()).metrics["chance"].item() == pytest.approx(1 / permutations)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"permutations": 1}, r"task\.permutations=1: must be at least 2"),
        ({"puzzles": 0}, r"task\.puzzles=0: at least 1 .*; set task\.puzzles=8"),
        ({"dropout": 1.0}, r"task\.dropout=1\.0: from 0 to below 1; set task\.dropout=0\.5"),
    ],
)
def test_bad_knobs_are_refused_by_key_with_a_remedy(knobs: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Jigsaw(dim=8, grid=GRID, **knobs)


def test_a_tile_is_projected_by_itself_before_tiles_are_joined():
    task = Jigsaw(dim=6, grid=GRID, permutations=72, projection=16).eval()
    tiles = torch.randn(2, 9, 6)
    changed = tiles.clone()
    changed[0, 3] += 1
    moved = (task.projection(tiles) != task.projection(changed)).any(2)
    assert moved.nonzero().tolist() == [[0, 3]]
    assert task.projection(tiles).shape == (2, 9, 16)
    assert task.head[0].in_features == 9 * 16


def test_a_projection_of_nothing_is_refused():
    with pytest.raises(
        ValueError, match=r"task.projection=0: at least 1 unit; set task.projection=512"
    ):
        Jigsaw(dim=6, grid=GRID, projection=0)
