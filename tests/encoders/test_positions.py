"""Sin-cos positions: the table is the function on the grid, and places between are between."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.encoders.positions import sincos, sincos_table


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
