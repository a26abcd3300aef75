"""A trial that diverges is a result."""

from __future__ import annotations

import json
import math

from ssl_patches.studies import design, planning, trials
from ssl_patches.training.pretrainer import Pretrainer


def test_a_loss_that_is_no_number_is_a_result_that_leaves_no_checkpoint(
    tiny_study, tmp_path, monkeypatch
):
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [0]})
    job = planning.plan(design.read_study(folder), folder / "out").runs[0].choices[0]
    before = Pretrainer.losses

    def spoilt(self, images):
        loss, metrics = before(self, images)
        return loss * math.nan, {**metrics, "loss": metrics["loss"] * math.nan}

    monkeypatch.setattr(Pretrainer, "losses", spoilt)
    said: list[str] = []
    trials.run_trial(job, tmp_path / "trial", say=said.append)
    found = json.loads((tmp_path / "trial" / "trial.json").read_text())
    assert found["value"] is None
    assert found["diverged"]
    assert not list((tmp_path / "trial").rglob("*.ckpt"))
    assert "the loss is no finite number" in said[-1]
