from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ssl_patches.tasks.relation import Relation, balanced_shares, present_directions, relations
from ssl_patches.tasks.relative import DIRECTIONS, neighbour_pairs
from ssl_patches.types import Encoded, PatchBatch, PatchGrid


def relation(rows: int = 4, cols: int = 4, **knobs: object) -> Relation:
    return Relation(dim=rows * cols, grid=PatchGrid(rows, cols, 8), width=8, **knobs)


def numbered(task: Relation, count: int = 64) -> PatchBatch:
    cells = task.grid.cells
    tiles = torch.arange(cells, dtype=torch.float32).view(1, -1, 1, 1, 1).expand(count, -1, 3, 2, 2)
    boxes, placed = torch.zeros(count, cells, 4), torch.ones(count, cells, dtype=torch.bool)
    return PatchBatch(tiles, boxes, placed, (32, 32), uniform=True)


class Watches:
    """An encoder that keeps what it was shown; its features are one-hot of the tile's number."""

    def __init__(self) -> None:
        self.seen: list[PatchBatch] = []

    def __call__(self, patches: PatchBatch) -> Encoded:
        self.seen.append(patches)
        tiles = nn.functional.one_hot(patches.tiles[..., 0, 0, 0].long(), 16).float()
        return Encoded(tiles, tiles[:, :0])


@pytest.mark.parametrize(("rows", "cols"), [(1, 4), (3, 3), (2, 5), (5, 2)])
def test_a_relation_is_the_sign_of_row_and_column_from_the_first_to_the_second(
    rows: int, cols: int
):
    table = relations(rows, cols)
    for first in range(rows * cols):
        for second in range(rows * cols):
            down, right = second // cols - first // cols, second % cols - first % cols
            sign = ((down > 0) - (down < 0), (right > 0) - (right < 0))
            assert table[first, second] == (8 if first == second else DIRECTIONS.index(sign))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(rows=st.integers(1, 6), cols=st.integers(1, 6))
def test_the_relation_back_is_the_opposite(rows: int, cols: int):
    table = relations(rows, cols)
    off = ~torch.eye(rows * cols, dtype=torch.bool)
    assert (table + table.T)[off].eq(7).all()
    assert (table.diagonal() == 8).all()
    assert (table[off] < 8).all()


def test_neighbours_are_called_as_in_relative():
    first, second, direction = neighbour_pairs(3, 4)
    assert torch.equal(relations(3, 4)[first, second], direction)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=st.integers(2, 5), cols=st.integers(2, 5), data=st.data())
def test_shares_sum_to_one_and_every_direction_that_occurs_has_the_same(
    rows: int, cols: int, data: st.DataObject
):
    asked = data.draw(st.integers(2, rows * cols))
    cells = torch.stack([torch.randperm(rows * cols)[:asked] for _ in range(4)])
    truth = relations(rows, cols)[cells[:, :, None], cells[:, None, :]]
    share, present = balanced_shares(truth), present_directions(truth)
    assert torch.allclose(share.sum((1, 2)), torch.ones(4), atol=1e-5)
    assert (share.diagonal(dim1=1, dim2=2) == 0).all()
    for image in range(4):
        assert present[image] == len(truth[image].unique()) - 1  # but for the diagonal
        for direction in truth[image].unique().tolist()[:-1]:
            assert share[image][truth[image] == direction].sum().item() == pytest.approx(
                1 / present[image].item(), abs=1e-5
            )


GUESSERS = [
    {"placed": 0.25},
    {"placed": 0.0},
    {"placed": 0.9},
    {"mask_ratio": 0.75, "placed": 0.25},
]


def guessed(task: Relation, monkeypatch, answer: int | None) -> dict[str, float]:
    """Metrics when every pair is answered with one direction; None: with whichever scores best in
    each image."""
    torch.manual_seed(0)
    found = []
    for guess in range(8) if answer is None else [answer]:
        logits = torch.zeros(1, 8, task.asked, task.asked)
        logits[:, guess] = 1
        monkeypatch.setattr(
            task, "_pairs", lambda tiles, fixed=logits: fixed.expand(len(tiles), -1, -1, -1)
        )
        found.append(
            [
                task(numbered(task, 1), Watches()).metrics
                for _ in range(200 if answer is None else 2000)
            ]
        )
    best = max(torch.stack([m["accuracy"] for m in each]).mean().item() for each in found)
    return {"accuracy": best, "chance": torch.stack([m["chance"] for m in found[0]]).mean().item()}


@pytest.mark.parametrize("knobs", GUESSERS)
def test_no_constant_guess_beats_the_chance_reported(knobs: dict, monkeypatch):
    result = guessed(relation(**knobs), monkeypatch, None)
    assert result["accuracy"] <= result["chance"] + 0.01
    if knobs["placed"] <= 0.25 and "mask_ratio" not in knobs:
        assert result == {
            "accuracy": pytest.approx(1 / 8, abs=1e-5),
            "chance": pytest.approx(1 / 8, abs=1e-5),
        }


def test_where_two_tiles_are_asked_told_places_leave_two_directions():
    task = relation(placed=0.9)
    assert task.asked == 2
    assert task(numbered(task), Watches()).metrics["chance"].item() == pytest.approx(1 / 2)


class Knows(nn.Module):
    """Answers from features that are one-hot of the cell."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, tiles: Tensor) -> Tensor:
        cells = tiles.argmax(-1)
        truth = self.table[cells[:, :, None], cells[:, None, :]]
        return nn.functional.one_hot(truth, 9)[..., :8].permute(0, 3, 1, 2).float()


def test_entry_i_j_asks_where_j_lies_from_i(monkeypatch):
    task = relation()
    for table, right in ((task.relation, 1.0), (task.relation.T, 0.0)):
        monkeypatch.setattr(task, "_pairs", Knows(table).forward)
        assert task(numbered(task), Watches()).metrics["accuracy"].item() == pytest.approx(
            right, abs=1e-5
        )


def test_a_pair_is_scored_by_one_bilinear_form_per_direction():
    torch.manual_seed(0)
    task, tiles = relation(), torch.randn(2, 5, 16)
    query, key = (part(tiles).view(2, 5, 8, 8) for part in (task.query, task.key))
    expected = torch.einsum("bidw,bjdw->bdij", query, key) / 8**0.5
    assert torch.allclose(task._pairs(tiles), expected, atol=1e-5)


@pytest.mark.parametrize("knobs", GUESSERS)
def test_just_the_asked_tiles_are_blind_and_their_own_cells_are_the_truth(knobs: dict):
    task, encoder = relation(**knobs), Watches()
    tiles, cells = task._encode(numbered(task), encoder)
    assert torch.equal(tiles.argmax(2), cells)
    shown = encoder.seen[0]
    assert shown.tiles.shape[1] == task.keep
    assert (~shown.placed).sum(1).eq(task.asked).all()
    number = shown.tiles[..., 0, 0, 0].long()
    for image in range(64):
        assert set(number[image][~shown.placed[image]].tolist()) == set(cells[image].tolist())


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (
            {"mask_ratio": 0.9, "placed": 0.5},
            r"task\.mask_ratio=0\.9, task\.placed=0\.5: leave 1 tile .* needs 2; .*lower",
        ),
        ({"placed": 1.0}, r"task\.placed=1\.0"),
        ({"mask_ratio": 1.5}, r"task\.mask_ratio=1\.5"),
        ({"own_cell": -1.0}, r"task\.own_cell=-1\.0: a weight of 0 or more"),
    ],
)
def test_bad_knobs_are_refused_by_key_with_a_remedy(knobs: dict, message: str):
    with pytest.raises(ValueError, match=message):
        relation(**knobs)
