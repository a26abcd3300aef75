"""Trackers are told of a run from its beginning to its end, however it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_patches.config.messages import Failed
from ssl_patches.training.trackers.tracked import (
    RunFacts,
    flat,
    followed,
    found_in,
    loggers_of,
    study_of,
)

SUMMARY = {
    "results": [
        {"model": "trained", "metric": "knn20_top1", "value": 60.0},
        {"model": "random_init", "metric": "knn20_top1", "value": 30.0},
    ],
    "budget_used": {"images": 64, "steps": 4},
    "images_per_second": 10.0,
    "alarms": [{"name": "collapse"}],
}


class Recorder:
    """What a tracker is told, in order; ``breaks``: where its library refuses to go on."""

    lost = False

    def __init__(self, breaks: str = "") -> None:
        self.told: list[object] = []
        self.breaks = breaks

    def refusals(self) -> tuple[type[Exception], ...]:
        return (ConnectionError,)

    def tell(self, what: str) -> None:
        self.told.append(what)
        if what == self.breaks:
            raise ConnectionError("no such server\nmore")

    def begin(self, facts: RunFacts) -> None:
        self.tell("begin")

    def conclude(self, facts: RunFacts, summary: dict) -> None:
        self.tell("conclude")

    def close(self, *, failed: bool) -> None:
        self.told.append(("close", failed))
        if self.breaks == "close":
            raise ConnectionError("no such server")


def facts(run_dir: Path) -> RunFacts:
    return RunFacts(run_dir, {}, "jigsaw", "vit", "mine", "f" * 64, 16)


def test_trackers_hear_of_beginning_results_and_end(tmp_path):
    one, other = Recorder(), Recorder()
    with followed([one, object(), other], facts(tmp_path)):
        (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    assert one.told == other.told == ["begin", "conclude", ("close", False)]


def test_without_results_there_is_no_conclusion(tmp_path):
    one = Recorder()
    with followed([one], facts(tmp_path)):
        pass
    assert one.told == ["begin", ("close", False)]


def test_a_run_that_breaks_off_is_recorded_as_failed(tmp_path):
    one = Recorder()
    with pytest.raises(KeyboardInterrupt), followed([one], facts(tmp_path)):
        raise KeyboardInterrupt
    assert one.told == ["begin", ("close", True)]


def test_a_tracker_that_cannot_begin_is_one_line_and_all_are_closed(tmp_path):
    one, other = Recorder("begin"), Recorder()
    with (
        pytest.raises(Failed, match="cannot begin: ") as caught,
        followed([one, other], facts(tmp_path)),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert one.told[-1] == other.told[-1] == ("close", True)


@pytest.mark.parametrize("breaks", ["conclude", "close"])
def test_a_run_does_not_end_with_its_record(tmp_path, capsys, breaks):
    one, other = Recorder(breaks), Recorder()
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    with followed([one, other], facts(tmp_path)):
        pass
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such server; the run is unharmed, all results stand in its own directory" in line
    assert other.told == ["begin", "conclude", ("close", False)]
    assert one.told[-1] == ("close", breaks == "conclude")  # a record without results has failed


def test_numbers_of_a_run_have_a_name_each(tmp_path):
    (tmp_path / "health.csv").write_text("step,images,effective_rank\n2,32,1.5\n4,64,7.5\n")
    assert found_in(tmp_path, SUMMARY) == {
        "results/knn20_top1": 60.0,
        "floors/random_init/knn20_top1": 30.0,
        "health/images": 64.0,
        "health/effective_rank": 7.5,
        "budget/images": 64,
        "budget/steps": 4,
        "images_per_second": 10.0,
        "alarms": 1,
    }


def test_settings_are_named_as_they_are_typed():
    tree = {"task": {"_target_": "x", "options": {"depth": 2}, "none": {}}, "seed": 0}
    assert flat(tree) == {
        "task._target_": "x",
        "task.options.depth": 2,
        "task.none": {},
        "seed": 0,
    }


def test_a_run_knows_its_study_where_it_has_one(tmp_path):
    assert study_of(tmp_path) is None
    (tmp_path / "cell.json").write_text("[1")
    assert study_of(tmp_path) is None
    (tmp_path / "cell.json").write_text('{"study": "tasks"}')
    assert study_of(tmp_path) == "tasks"


def test_one_logger_several_or_none_are_built(tmp_path):
    node = {"_target_": "ssl_patches.training.loggers.wandb_logger"}
    assert loggers_of(None, tmp_path) == loggers_of({}, tmp_path) == []
    assert len(loggers_of(node, tmp_path)) == 1
    assert len(loggers_of({"a": node, "csv": {}, "b": {**node, "name": "x"}}, tmp_path)) == 2
