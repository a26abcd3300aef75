"""A divided step is one step: loss, gradients, resuming, stopping; callbacks come in order."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from runs import DRAWLESS, first_gradients, largest_difference, last, rows, weights

from ssl_patches.training.fit import Watchers
from ssl_patches.training.pretrainer import Pretrainer


def test_accumulated_shards_are_one_large_batch(only_training, tmp_path, monkeypatch):
    """Loss and gradients to 1e-6, the learning rate that of the large batch; a ViT has no
    statistics over a batch."""
    with first_gradients(monkeypatch) as whole:
        large = only_training(tmp_path / "large", *DRAWLESS, "data.batch_size=16")
    with first_gradients(monkeypatch) as divided:
        small = only_training(
            tmp_path / "small", *DRAWLESS, "data.batch_size=4", "trainer.accumulate=4"
        )
    assert largest_difference(divided, whole) < 1e-6
    for key in ("step", "images", "lr"):
        assert [row[key] for row in rows(small)] == [row[key] for row in rows(large)]
    assert float(rows(small)[0]["loss"]) == pytest.approx(float(rows(large)[0]["loss"]), rel=1e-6)
    with first_gradients(monkeypatch) as other:  # the comparison sees a shard that is missing
        only_training(tmp_path / "other", *DRAWLESS, "data.batch_size=4", "trainer.accumulate=3")
    assert largest_difference(other, whole) > 1e-2


def test_accumulating_runs_resume_to_the_bit_and_another_batch_is_refused(
    only_training, tmp_path, capsys
):
    words = ("data.batch_size=4", "trainer.checkpoint_steps=3")
    wanted = only_training(tmp_path / "unbroken", *words, "trainer.accumulate=2")
    run_dir = Path(shutil.copytree(wanted, tmp_path / "resumed"))
    shutil.copy(
        run_dir / "checkpoints" / "step-00000006.ckpt", run_dir / "checkpoints" / "last.ckpt"
    )
    capsys.readouterr()
    only_training(run_dir, *words, "trainer.accumulate=3", "resume=true", code=2)
    said = capsys.readouterr().err
    assert (
        "resume=true: the run had 8 images per step and would now have 12; make trainer.accumulate"
        in said
    )
    only_training(run_dir, *words, "trainer.accumulate=2", "resume=true")
    assert all(value.equal(weights(wanted)[key]) for key, value in weights(run_dir).items())
    assert last(run_dir)["global_step"] == 8


def test_no_checkpoint_and_no_stop_in_the_middle_of_a_step(only_training, tmp_path, monkeypatch):
    shards = []
    after = Pretrainer.on_train_batch_end

    def pressed(module: Pretrainer, *arguments) -> None:
        after(module, *arguments)
        shards.append(module.global_step)
        if len(shards) == 4:  # the first of three shards of the second step
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Pretrainer, "on_train_batch_end", pressed)
    words = (
        "data.batch_size=4",
        "trainer.accumulate=3",
        "trainer.checkpoint_minutes=0",
        "budget.images=96",
    )
    run_dir = only_training(tmp_path / "run", *words, code=1)
    assert shards == [0, 0, 1, 1, 1, 2]
    counted = last(run_dir)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"]
    assert (last(run_dir)["global_step"], counted) == (2, 6)
    assert [int(row["step"]) for row in rows(run_dir)] == [1, 2]


def test_callbacks_come_in_the_order_that_they_need():
    named = Watchers("average", "nonfinite", ["one", "two"], "stop", "meter", "checkpoints")
    assert named.in_order() == [
        "average",
        "nonfinite",
        "one",
        "two",
        "stop",
        "meter",
        "checkpoints",
    ]
    without = Watchers(None, "nonfinite", [], "stop", "meter", "checkpoints").in_order()
    assert without == ["nonfinite", "stop", "meter", "checkpoints"]
