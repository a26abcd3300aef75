"""A cell is what it was, another setting is another cell, and a damaged one is computed again."""

import torch

from ssl_patches.evaluation.efficiency.cells import Cell, Cells, nothing

CELL = Cell(
    answers=torch.tensor([0, 2, 1]),
    targets=torch.tensor([0, 1, 1]),
    size=5.0,
    seconds=1.5,
    flops=2e9,
    chosen={"setting": [2e-3, 0.75]},
)


def test_what_is_kept_is_read_again_by_another_process(tmp_path):
    Cells(tmp_path, weights="a").save(CELL, column="linear", draw=0)
    found = Cells(tmp_path, weights="a").load(column="linear", draw=0)
    assert torch.equal(found.answers, CELL.answers)
    assert torch.equal(found.targets, CELL.targets)
    assert (found.size, found.flops, found.chosen) == (5.0, 2e9, CELL.chosen)


def test_other_weights_another_column_or_draw_are_other_cells(tmp_path):
    Cells(tmp_path, weights="a").save(CELL, column="linear", draw=0)
    assert Cells(tmp_path, weights="b").load(column="linear", draw=0) is None
    assert Cells(tmp_path, weights="a").load(column="linear", draw=1) is None
    assert Cells(tmp_path, weights="a").load(column="knn", draw=0) is None


def test_yes_no_answers_and_values_keep_their_kind(tmp_path):
    for answers in (torch.tensor([[True, False]]), torch.tensor([[0.5]])):
        cells = Cells(tmp_path, weights=str(answers.dtype))
        cells.save(Cell(answers=answers, targets=nothing(), size=1.0), draw=0)
        found = Cells(tmp_path, weights=str(answers.dtype)).load(draw=0)
        assert found.answers.dtype == answers.dtype
        assert not len(found.targets)


def test_a_damaged_cell_is_none_and_without_a_folder_it_lasts_as_long_as_the_process(tmp_path):
    Cells(tmp_path, weights="a").save(CELL, draw=0)
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(file.read_bytes()[:40])
    assert Cells(tmp_path, weights="a").load(draw=0) is None
    alone = Cells(None, weights="a")
    alone.save(CELL, draw=0)
    assert alone.load(draw=0) is CELL
    assert Cells(None, weights="a").load(draw=0) is None
