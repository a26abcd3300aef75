"""The average of the encoder follows it, is resumed, and changes nothing of the run."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
import torch
from runs import rows, weights

from ssl_patches import config
from ssl_patches.encoders import build as build_encoders
from ssl_patches.training.callbacks import ema


def test_what_is_opt_in_changes_nothing_by_its_presence(trained_run, only_training, tmp_path):
    """The average observes: weights, optimiser and losses of a run are the same to the bit with
    it."""
    plain = trained_run
    watched = only_training(tmp_path / "watched", "trainer.ema=0.9", "trainer.checkpoint_minutes=0")
    assert [row["loss"] for row in rows(plain)] == [row["loss"] for row in rows(watched)]
    kept = {key: value for key, value in weights(watched).items() if not key.startswith("ema.")}
    assert all(value.equal(weights(plain)[key]) for key, value in kept.items())
    assert kept.keys() == weights(plain).keys()


RESNET = (
    "encoder=resnet18",
    "encoder.options={layers:[1,1,1,1],channels:[16,24,32,48]}",
    "encoder.patch_size=null",
)


@pytest.mark.parametrize("encoder", [(), RESNET], ids=["vit", "resnet"])
def test_the_average_follows_the_encoder_and_an_encoder_takes_it(encoder, only_training, tmp_path):
    words = (
        *encoder,
        "data.batch_size=8",
        "budget.images=24",
        "trainer.checkpoint_steps=1",
        "trainer.checkpoints_kept=9",
    )
    run_dir = only_training(tmp_path / "run", *words, "trainer.ema=0.5")
    files = sorted((run_dir / "checkpoints").glob("step-*.ckpt"))
    states = [torch.load(file, weights_only=True)["state_dict"] for file in files]
    names = [key.removeprefix("encoder.") for key in states[0] if key.startswith("encoder.")]
    assert {key for key in states[0] if key.startswith("ema.")} == {f"ema.{name}" for name in names}
    for step, (before, state) in enumerate(itertools.pairwise(states), 2):
        decay = min(0.5, (1 + step) / (10 + step))
        for name in names:
            new, own, old = state[f"ema.{name}"], state[f"encoder.{name}"], before[f"ema.{name}"]
            if not new.is_floating_point():
                assert new.equal(own)
            else:
                torch.testing.assert_close(new, decay * old + (1 - decay) * own)
    moved = [
        name for name in names if not states[-1][f"encoder.{name}"].equal(states[-1][f"ema.{name}"])
    ]
    assert len(moved) > 5
    taken = build_encoders.encoder(config.load(run_dir / "config.yaml"))
    taken.load_state_dict({name: states[-1][f"ema.{name}"] for name in names})


def test_the_average_is_resumed_to_the_bit_taken_up_and_let_go(only_training, tmp_path):
    wanted = only_training(tmp_path / "unbroken", "trainer.ema=0.9", "trainer.checkpoint_steps=2")
    run_dir = Path(shutil.copytree(wanted, tmp_path / "resumed"))
    shutil.copy(
        run_dir / "checkpoints" / "step-00000002.ckpt", run_dir / "checkpoints" / "last.ckpt"
    )
    only_training(run_dir, "trainer.ema=0.9", "resume=true")
    assert all(value.equal(weights(wanted)[key]) for key, value in weights(run_dir).items())
    only_training(run_dir, "resume=true", "budget.images=80")
    assert not any(key.startswith("ema.") for key in weights(run_dir))
    only_training(run_dir, "resume=true", "budget.images=96", "trainer.ema=0.9")
    assert any(key.startswith("ema.") for key in weights(run_dir))


def test_an_average_that_does_not_follow_is_seen(only_training, tmp_path, monkeypatch):
    monkeypatch.setattr(ema.WarmedAverage, "update", lambda *_, **__: None)
    state = weights(only_training(tmp_path / "run", "trainer.ema=0.5"))
    initial = build_encoders.encoder(config.load(tmp_path / "run" / "config.yaml")).state_dict()
    assert all(
        state[f"ema.{name}"].equal(value)
        for name, value in initial.items()
        if value.is_floating_point()
    )


def test_the_decay_grows_with_the_step_and_is_no_more_than_asked_for():
    average = ema.WarmedAverage(torch.nn.Linear(2, 2), decay=0.9)
    assert average.get_decay(0) == pytest.approx(0.1)
    assert average.get_decay(10) == pytest.approx(11 / 20)
    assert average.get_decay(1000) == 0.9
