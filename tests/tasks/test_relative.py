from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.relative import DIRECTIONS, Relative, neighbour_pairs
from ssl_patches.types import Encoded, PatchBatch, PatchGrid

GRIDS = [(2, 2), (3, 3), (2, 5), (4, 3)]


class Says:
    """An encoder whose feature of a tile is the place that the tile's pixels hold."""

    multiple = 1

    def scrambled(self, patches: PatchBatch) -> Encoded:
        tiles = patches.tiles.mean((3, 4))
        return Encoded(tiles, tiles[:, :0])


def places(rows: int, cols: int, tile: int = 4, count: int = 2) -> PatchBatch:
    """Tiles of an image that holds its own rows and columns."""
    size = tile * max(rows, cols)
    line = torch.arange(size, dtype=torch.float32)
    images = torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(count, -1, -1, -1)
    sampler = PatchSampler(
        image_size=size, rows=rows, cols=cols, tile=tile, gap=0, mean=(0, 0), std=(1, 1)
    )
    return sampler.eval()(images)  # without jitter, by which neighbours of a row differ in height


def question(task: Relative) -> list[tuple[int, int, int]]:
    return list(
        zip(task.first.tolist(), task.second.tolist(), task.direction.tolist(), strict=True)
    )


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_a_direction_is_where_the_second_tile_lies_in_the_image_seen_from_the_first(
    rows: int, cols: int
):
    where = Says().scrambled(places(rows, cols)).tiles[0]
    for first, second, direction in question(Relative(dim=2, grid=PatchGrid(rows, cols, 4))):
        dy, dx = torch.sign((where[second] - where[first]).round()).tolist()
        assert (dy, dx) == DIRECTIONS[direction]


def test_the_first_direction_is_up_left_and_opposites_add_up_to_seven():
    assert DIRECTIONS[0] == (-1, -1)
    assert DIRECTIONS[7] == (1, 1)
    for direction, (dy, dx) in enumerate(DIRECTIONS):
        assert DIRECTIONS[7 - direction] == (-dy, -dx)
    pairs = question(Relative(dim=2, grid=PatchGrid(3, 3, 4)))
    for first, second, direction in pairs:
        assert (second, first, 7 - direction) in pairs


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_every_ordered_pair_of_neighbours_is_asked_once(rows: int, cols: int):
    first, second, _ = neighbour_pairs(rows, cols)
    found = set(zip(first.tolist(), second.tolist(), strict=True))
    near = {
        (a, b)
        for a in range(rows * cols)
        for b in range(rows * cols)
        if a != b and abs(a // cols - b // cols) <= 1 and abs(a % cols - b % cols) <= 1
    }
    assert found == near
    assert len(first) == len(near)
    assert (rows, cols) != (3, 3) or len(first) == 40


@pytest.mark.parametrize(("rows", "cols"), GRIDS)
def test_a_guesser_scores_exactly_one_eighth_whatever_it_guesses(rows: int, cols: int, monkeypatch):
    task = Relative(dim=2, grid=PatchGrid(rows, cols, 4))
    assert task.share.sum().item() == pytest.approx(1, abs=1e-6)
    plain = set()
    for guess in range(8):
        logits = torch.zeros(2, len(task.first), 8)
        logits[..., guess] = 1
        monkeypatch.setattr(task, "_directions", lambda _, fixed=logits: fixed)
        metrics = task(places(rows, cols), Says()).metrics
        assert metrics["accuracy"].item() == pytest.approx(1 / 8, abs=1e-6)
        assert metrics["chance"].item() == 1 / 8
        plain.add(round((task.direction == guess).float().mean().item(), 4))
    assert (rows, cols) == (2, 2) or plain != {0.125}  # without the weights it would not


def test_the_right_answers_score_one_and_their_opposites_zero(monkeypatch):
    task = Relative(dim=2, grid=PatchGrid(3, 3, 4))
    for answer, score in ((task.direction, 1.0), (7 - task.direction, 0.0)):
        logits = torch.nn.functional.one_hot(answer, 8).float().expand(2, -1, -1)
        monkeypatch.setattr(task, "_directions", lambda _, fixed=logits: fixed)
        assert task(places(3, 3), Says()).metrics["accuracy"].item() == pytest.approx(
            score, abs=1e-6
        )


def test_the_head_compares_first_with_second_in_that_order():
    torch.manual_seed(0)
    task = Relative(dim=2, grid=PatchGrid(2, 2, 4), hidden=8).eval()
    tiles = torch.randn(3, 4, 2)
    joined = torch.cat(
        [task.of_first.weight, task.of_second.weight], 1
    )  # of a joined pair: (hidden, 2 * dim)
    pairs = torch.cat([tiles[:, task.first], tiles[:, task.second]], 2) @ joined.T
    assert torch.allclose(
        task._directions(tiles), task.answer(pairs.flatten(0, 1)).unflatten(0, (3, 12)), atol=1e-6
    )


def test_all_pairs_cost_one_encoding():
    torch.manual_seed(0)
    encoder = create(
        name="resnet18", image_size=32, options={"channels": [8, 8, 8, 8], "layers": [1, 1, 1, 1]}
    )
    sampler = PatchSampler(image_size=32, rows=3, cols=3)
    calls: list[Tensor] = []
    encoder.model.conv1.register_forward_hook(lambda _, x, __: calls.append(x[0]))
    Relative(dim=encoder.dim, grid=sampler.grid)(sampler(torch.rand(2, 3, 32, 32)), encoder)
    assert len(calls) == 1
    assert len(calls[0]) == 2 * 9


@pytest.mark.parametrize(
    ("grid", "knobs", "message"),
    [
        (PatchGrid(1, 3, 8), {}, r"sampler\.rows=1, sampler\.cols=3: .* 2 or more"),
        (PatchGrid(3, 1, 8), {}, r"sampler\.rows=3, sampler\.cols=1: .* 2 or more"),
        (
            PatchGrid(3, 3, 8),
            {"dropout": 1.0},
            r"task\.dropout=1\.0: from 0 to below 1; set task\.dropout=0\.5",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_remedy(grid: PatchGrid, knobs: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Relative(dim=8, grid=grid, **knobs)
