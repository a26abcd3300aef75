"""The meter writes a row per ``every`` steps, and counts what waited for data."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ssl_patches.training.callbacks import meter as meters
from ssl_patches.training.callbacks.meter import Meter
from ssl_patches.training.rows import Rows


class Trainer(SimpleNamespace):
    """As much of a trainer as the meter asks for."""


def trainer() -> Trainer:
    return Trainer(
        global_step=0,
        is_global_zero=True,
        accumulate_grad_batches=1,
        loggers=[],
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.5}])],
        strategy=SimpleNamespace(reduce=lambda value, reduce_op: value),
    )


def test_rows_speed_and_waiting(tmp_path, monkeypatch, capsys) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(meters.time, "monotonic", lambda: float(next(clock)))
    module = SimpleNamespace(
        steps=6,
        batch_size=10,
        metrics={"loss": torch.tensor(2.0)},
        seconds_spent=lambda: 1.0,
        progress=lambda: 1.0,
        seconds=None,
    )
    run, meter = trainer(), Meter(tmp_path / "metrics.csv", every=4, flops_per_image=3.0)
    meter.on_train_start(run, module)
    for shard in range(6):
        meter.on_train_batch_start(run, module, None, shard)
        run.global_step += 1
        meter.on_train_batch_end(run, module, None, None, shard)
    meter.on_train_end(run, module)
    rows = Rows(tmp_path / "metrics.csv").read()
    assert [row["step"] for row in rows] == [1, 4, 6], "the first, every fourth, the last"
    assert [row["flops"] for row in rows] == [30, 120, 180]
    assert rows[0]["data_wait"] == pytest.approx(0.5), "a second of two"
    assert rows[0]["images_per_second"] == pytest.approx(5.0)
    assert "100 %  step 6  loss 2" in capsys.readouterr().err


@pytest.mark.parametrize(("before", "after"), [(1, 20), (20, 1)])
def test_the_time_left_follows_what_the_machine_does_now(
    tmp_path, monkeypatch, capsys, before, after
) -> None:
    """Other work on the cores begins or ends half way."""
    now = [0.0]
    monkeypatch.setattr(meters.time, "monotonic", lambda: now[0])
    module = SimpleNamespace(
        steps=1000,
        batch_size=10,
        metrics={},
        seconds_spent=lambda: now[0],
        progress=lambda: 0.5,
        seconds=None,
    )
    run, meter = trainer(), Meter(tmp_path / "metrics.csv", every=1, flops_per_image=3.0)
    meter.on_train_start(run, module)
    for step in range(500):
        meter.on_train_batch_start(run, module, None, step)
        now[0] += before if step < 400 else after
        run.global_step += 1
        meter.on_train_batch_end(run, module, None, None, step)
    line = capsys.readouterr().err.splitlines()[-1]
    said = float(line.split()[-3])
    assert said == pytest.approx(500 * after, rel=0.25)
    assert f"{10 / after:.0f} images/s" in line


def test_only_the_first_process_touches_the_file(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,2.0\n2,2.0\n")
    run, meter = trainer(), Meter(path, every=1, flops_per_image=1.0)
    run.is_global_zero = False
    meter.on_train_start(run, SimpleNamespace(steps=4))
    assert len(Rows(path).read()) == 2
    run.is_global_zero = True
    meter.on_train_start(run, SimpleNamespace(steps=4))
    assert Rows(path).read() == []
