"""Rows go to file and loggers; a resumed run writes those after its checkpoint again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ssl_patches.training.rows import Rows, TakesImages, TakesText, report, tell_logger


def test_rows_are_read_back_and_dropped_after_a_step(tmp_path) -> None:
    rows = Rows(tmp_path / "a.csv")
    assert rows.read() == []
    rows.drop_after(3)
    for step in (1, 2, 3):
        rows.append({"step": step, "loss": step / 2})
    rows.drop_after(2)
    assert rows.read() == [{"step": 1.0, "loss": 0.5}, {"step": 2.0, "loss": 1.0}]
    with rows.path.open("a") as file:
        file.write("3,1.")  # cut off by a kill
    rows.drop_after(9)
    assert len(rows.read()) == 2


def test_loggers_get_the_row_without_its_step(tmp_path) -> None:
    got = []
    logger = SimpleNamespace(log_metrics=lambda values, step: got.append((values, step)))
    row = {"step": 4, "loss": 0.5}
    Rows(tmp_path / "a.csv").log(SimpleNamespace(loggers=[logger]), row, prefix="x/")
    assert got == [({"x/loss": 0.5}, 4)]


def test_a_logger_is_asked_for_what_it_takes() -> None:
    class Both:
        def log_image(self, key, images, step=None) -> None: ...

        def log_text(self, key, columns, data) -> None: ...

    assert isinstance(Both(), TakesImages)
    assert isinstance(Both(), TakesText)
    assert not isinstance(object(), TakesImages | TakesText)


def test_a_line_is_reported_on_standard_error(capsys) -> None:
    report("a line")
    assert capsys.readouterr().err == "a line\n"


class Lossy:
    """A logger whose library refuses everything."""

    lost = False

    def __init__(self) -> None:
        self.asked = 0

    def refusals(self) -> tuple[type[Exception], ...]:
        return (OSError,)

    def log_metrics(self, metrics, step=None) -> None:
        self.asked += 1
        raise OSError("connection lost\nmore")


def test_a_logger_that_refuses_is_told_once_and_left_alone(tmp_path, capsys) -> None:
    lossy, got = Lossy(), []
    other = SimpleNamespace(log_metrics=lambda values, step: got.append(step))
    for step in (1, 2, 3):
        Rows(tmp_path / "a.csv").log(
            SimpleNamespace(loggers=[lossy, other]), {"step": step, "x": 1}
        )
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("logger=lossy cannot go on: connection lost; ")
    assert (lossy.asked, lossy.lost, got) == (1, True, [1, 2, 3])


def test_what_is_no_refusal_of_its_library_is_raised() -> None:
    lossy = Lossy()
    with pytest.raises(ZeroDivisionError):
        tell_logger(lossy, lambda _: 1 / 0)
    assert not lossy.lost
