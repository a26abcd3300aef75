"""A comparison in Weights & Biases and in TensorBoard."""

from __future__ import annotations

import json

import pytest

from ssl_patches.cli import main


@pytest.mark.slow
def test_wandb_gets_the_table_offline(study, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert main(["compare", str(study), "--wandb", "--markdown"]) == 0
    assert list((study / "wandb").glob("offline-run-*/run-*.wandb"))
    assert list((study / "wandb").glob("offline-run-*/files/media/table/comparison*.json"))


def test_tensorboard_gets_the_table_and_every_result(study, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main(["compare", str(study), "--tensorboard", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    place = study / "tensorboard" / "comparison"
    text = EventAccumulator(str(place)).Reload()
    assert (
        b"masked is better than jigsaw"
        in text.Tensors("comparison/text_summary")[0].tensor_proto.string_val[0]
    )
    found = EventAccumulator(str(place / "masked")).Reload().Scalars("comparison/knn20_top1")
    expected = {
        row["seed"]: row["value"]
        for row in rows
        if (row["entry"], row["metric"]) == ("masked", "knn20_top1")
    }
    assert {event.step: pytest.approx(event.value) for event in found} == expected
