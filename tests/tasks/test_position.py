from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ssl_patches.tasks.position import Position, asked_count
from ssl_patches.types import Encoded, PatchBatch, PatchGrid

SMALL = {"width": 8, "heads": 2, "depth": 0}


def position(rows: int = 4, cols: int = 4, **knobs: object) -> Position:
    return Position(dim=16, grid=PatchGrid(rows, cols, 8), **{**SMALL, **knobs})


def numbered(task: Position, count: int = 64) -> PatchBatch:
    """Every pixel of a tile is the number of its cell."""
    cells = task.grid.cells
    tiles = torch.arange(cells, dtype=torch.float32).view(1, -1, 1, 1, 1).expand(count, -1, 3, 2, 2)
    boxes, placed = torch.zeros(count, cells, 4), torch.ones(count, cells, dtype=torch.bool)
    return PatchBatch(tiles, boxes, placed, (32, 32), uniform=True)


class Watches:
    """An encoder that keeps what it was shown; its features are one-hot of the tile's number."""

    multiple = 1

    def __init__(self, cells: int) -> None:
        self.cells, self.seen = cells, []

    def __call__(self, patches: PatchBatch) -> Encoded:
        self.seen.append(patches)
        tiles = nn.functional.one_hot(patches.tiles[..., 0, 0, 0].long(), self.cells).float()
        return Encoded(tiles, tiles[:, :0])


class PassesOn(nn.Module):
    def forward(self, tokens: Tensor, prefix: Tensor) -> Tensor:
        return tokens


def test_a_tile_that_says_its_number_is_right_about_its_cell():
    task = position(smoothing=0.0)
    task.decoder, encoder = PassesOn(), Watches(16)
    assert task(numbered(task), encoder).metrics["accuracy"] == 1
    encoder.cells, task.decoder = 16, nn.Module()
    task.decoder.forward = lambda tokens, prefix: tokens.roll(1, -1)
    assert task(numbered(task), encoder).metrics["accuracy"] == 0


@pytest.mark.parametrize(("mask_ratio", "placed"), [(0.75, 0.25), (0.5, 0.0), (0.25, 0.5)])
def test_only_kept_tiles_are_shown_and_just_the_asked_ones_are_blind(
    mask_ratio: float, placed: float
):
    task = position(mask_ratio=mask_ratio, placed=placed)
    encoder = Watches(16)
    torch.manual_seed(0)
    logits, cells, _ = task._locate(numbered(task), encoder)
    shown = encoder.seen[0]
    assert shown.tiles.shape[1] == task.keep == 16 - round(16 * mask_ratio)
    assert logits.shape == (64, task.asked, 16)
    assert (~shown.placed).sum(1).eq(task.asked).all()
    for image in range(64):
        number = shown.tiles[image, :, 0, 0, 0].long()
        assert set(number[~shown.placed[image]].tolist()) == set(cells[image].tolist())
    assert task.places == (task.asked < task.keep)


def test_every_cell_is_asked_as_often_as_any_other():
    task = position()
    torch.manual_seed(0)
    _, cells, _ = task._locate(numbered(task, 4000), Watches(16))
    share = torch.bincount(cells.flatten(), minlength=16) / 4000
    expected = task.asked / 16
    assert (share - expected).abs().max() < 4.5 * (expected * (1 - expected) / 4000) ** 0.5


def test_chance_counts_out_what_the_placed_tiles_occupy():
    task = position(mask_ratio=0.5, placed=0.5)
    assert (task.keep, task.asked) == (8, 4)
    assert task(numbered(task), Watches(16)).metrics["chance"].item() == pytest.approx(1 / 12)
    assert position(mask_ratio=0.5, placed=0.0)(numbered(task), Watches(16)).metrics[
        "chance"
    ].item() == pytest.approx(1 / 16)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 5),
    cols=st.integers(2, 5),
    smoothing=st.floats(0, 3),
    progress=st.floats(0, 1),
)
def test_targets_are_distributions_that_peak_at_the_true_cell(
    rows: int, cols: int, smoothing: float, progress: float
):
    task = position(rows, cols, smoothing=smoothing)
    task.at(progress)
    assert torch.isfinite(task.target).all()
    assert torch.allclose(task.target.sum(1), torch.ones(rows * cols), atol=1e-5)
    assert (task.target.argmax(1) == torch.arange(rows * cols)).all()
    assert torch.allclose(task.target.diagonal(), task.target.amax(1))


def test_smoothing_spreads_by_distance_in_cells_and_falls_to_one_hot():
    task = position(3, 3, smoothing=1.0)
    row = task.target[4].view(3, 3)
    assert (row[1, 2] / row[1, 1]).item() == pytest.approx(torch.exp(torch.tensor(-1.0)).item())
    assert (row[2, 2] / row[1, 1]).item() == pytest.approx(torch.exp(torch.tensor(-2.0)).item())
    own = []
    for progress in (0.0, 0.25, 0.5, 0.75, 1.0):
        task.at(progress)
        own.append(task.target[4, 4].item())
    assert own == sorted(own)
    assert torch.equal(task.target, torch.eye(9))
    assert torch.equal(position(3, 3, smoothing=0.0).target, torch.eye(9))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(shown=st.integers(1, 64), placed=st.floats(0, 1, exclude_max=True))
def test_between_one_and_all_of_the_shown_are_asked(shown: int, placed: float):
    asked = asked_count(shown, placed)
    assert 1 <= asked <= shown
    assert asked == 1 or abs(asked - shown * (1 - placed)) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"placed": 1.0}, r"task\.placed=1\.0: a share from 0 to below 1; .*0\.25"),
        ({"placed": -0.1}, r"task\.placed=-0\.1"),
        ({"mask_ratio": 1.0}, r"task\.mask_ratio=1\.0: must lie between 0 and 1"),
        ({"smoothing": -1.0}, r"task\.smoothing=-1\.0: 0 .*or more"),
        ({"width": 10, "heads": 3}, r"task\.width=10, task\.heads=3.*set task\.width=192"),
        ({"depth": -1}, r"task\.depth=-1"),
    ],
)
def test_bad_knobs_are_refused_by_key_with_a_remedy(knobs: dict, message: str):
    with pytest.raises(ValueError, match=message):
        position(**knobs)
