"""What every task has in common: its grid must hold something to ask about."""

from __future__ import annotations

import pytest

from ssl_patches.tasks.agree import Agree
from ssl_patches.tasks.masked import Masked
from ssl_patches.types import PatchGrid

ONE_CELL = PatchGrid(1, 1, 32, dense=True)


def test_one_cell_is_enough_only_for_tasks_that_compare_views():
    assert Agree(dim=48, grid=ONE_CELL)
    with pytest.raises(ValueError, match=r"sampler.rows=1, sampler.cols=1: .* at least 2 cells"):
        Masked(dim=48, grid=ONE_CELL)
