"""Sin-cos positions: the table is the function on the grid, and places between are between."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.encoders.positions import looked_up, sincos, sincos_table, token_centres


def test_the_table_is_the_function_at_the_centres_of_the_grid_row_by_row():
    table = sincos_table(2, 3, 16)
    y, x = torch.meshgrid(torch.arange(2.0), torch.arange(3.0), indexing="ij")
    assert torch.allclose(table, sincos(y.flatten(), x.flatten(), 16))


def test_nearer_places_have_more_similar_vectors():
    at = sincos(torch.zeros(4), torch.tensor([0.0, 0.5, 1.0, 2.0]), 32)
    likeness = (at[0] * at).sum(1)
    assert (likeness.diff() < 0).all()


def test_a_width_that_is_no_multiple_of_four_is_refused():
    with pytest.raises(ValueError, match="dim=30"):
        sincos(torch.zeros(1), torch.zeros(1), 30)


def test_whole_tokens_of_a_view_fall_on_the_table():
    boxes = torch.tensor([[[0.0, 0.0, 8.0, 8.0], [8.0, 16.0, 8.0, 8.0]]])
    y, x = token_centres(boxes, (2, 2), view=(32, 32), patch=4, grid=(8, 8))
    assert y.tolist() == [[[0, 0, 1, 1], [2, 2, 3, 3]]]
    assert x.tolist() == [[[0, 1, 0, 1], [4, 5, 4, 5]]]


def test_a_small_view_spans_the_whole_table():
    boxes = torch.tensor([[[0.0, 0.0, 16.0, 16.0]]])
    y, x = token_centres(boxes, (1, 1), view=(16, 16), patch=4, grid=(8, 8))
    assert y.item() == x.item() == 3.5  # the middle of 0..7


def test_places_are_looked_up_between_entries_and_held_beyond_them():
    table = torch.arange(4.0)[:, None]  # 2 x 2: 0 1 / 2 3
    y, x = torch.tensor([[[0.0, 0.5, 5.0]]]), torch.tensor([[[1.0, 0.5, 5.0]]])
    assert looked_up(table, y, x, (2, 2)).flatten().tolist() == pytest.approx([1, 1.5, 3])
