"""A loss that is no finite number ends the run, and the step that gave it is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from runs import rows
from small import REPOSITORY

from ssl_patches import config
from ssl_patches.config.messages import Failed
from ssl_patches.training.callbacks import nonfinite
from ssl_patches.training.onednn import linears_in_onednn
from ssl_patches.training.prepare import prepare
from ssl_patches.training.pretrainer import Pretrainer

sys.path.insert(0, str(REPOSITORY / "experiments"))
from replay_step import replay


@contextmanager
def poisoned(monkeypatch, step: int) -> Iterator[None]:
    """Within: the loss of ``step`` is no number."""
    honest = Pretrainer.losses

    def losses(module: Pretrainer, images: torch.Tensor):
        total, metrics = honest(module, images)
        if module._trainer is not None and module.global_step == step:
            total = total * float("nan")
            metrics["loss"] = total.detach()
        return total, metrics

    with monkeypatch.context() as patch:
        patch.setattr(Pretrainer, "losses", losses)
        yield


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_step(
    trained_run, only_training, tmp_path, monkeypatch, capsys
):
    wanted = trained_run
    with poisoned(monkeypatch, 2):
        run_dir = only_training(tmp_path / "sick", code=1)
    path = run_dir / "nonfinite-step-2.ckpt"
    said = capsys.readouterr().err
    assert f"step 2: the loss is no finite number; the step is kept in {path}" in said
    assert "Traceback" not in said
    kept = torch.load(path, weights_only=True)
    before = torch.load(wanted / "checkpoints" / "step-00000002.ckpt", weights_only=True)[
        "state_dict"
    ]
    assert kept["nonfinite"]["weights_before"]
    statistics = ("running", "batches")  # of BatchNorm: they have seen the step
    assert all(
        kept["state_dict"][key].equal(value)
        for key, value in before.items()
        if isinstance(value, torch.Tensor) and not any(word in key for word in statistics)
    )
    run = prepare(config.load(wanted / "config.yaml"))
    with linears_in_onednn(run.module) if run.settings.onednn_reason() else nullcontext():
        (loss,) = replay(run.module, run.data, kept)
    assert loss.item() == float(
        rows(wanted)[2]["loss"]
    )  # without the poison the very same step: images, draws, weights


def test_where_looking_would_wait_no_checkpoint_of_spoilt_weights_is_written(
    only_training, tmp_path, monkeypatch
):
    """What happens on a GPU, shown on a CPU: nobody looks before a checkpoint is due, two steps
    after the bad one."""

    look = nonfinite.StopAtNonFinite._look

    def late(callback, trainer, module, step) -> None:
        if step == 3:
            look(callback, trainer, module, step)

    monkeypatch.setattr(nonfinite.StopAtNonFinite, "_look", late)
    with poisoned(monkeypatch, 1):
        only_training(tmp_path / "sick", "trainer.checkpoint_steps=3", code=1)
    kept = torch.load(tmp_path / "sick" / "nonfinite-step-1.ckpt", weights_only=True)
    assert kept["nonfinite"]["step"] == 1
    assert not kept["nonfinite"]["weights_before"]
    assert not list((tmp_path / "sick" / "checkpoints").iterdir())


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_infinity_is_no_finite_loss_either(value, tmp_path, monkeypatch):
    monkeypatch.setattr(nonfinite, "data_of", lambda _: None)
    monkeypatch.setattr(nonfinite, "shards_of_step", lambda *_: [])
    saved: list[Path] = []
    trainer = SimpleNamespace(
        global_step=3, world_size=1, accumulate_grad_batches=1, save_checkpoint=saved.append
    )
    module = SimpleNamespace(metrics={"loss": torch.tensor(value)}, progress=lambda: 0.5)
    callback = nonfinite.StopAtNonFinite(tmp_path, every=1)
    with pytest.raises(Failed, match="step 3: the loss is no finite number"):
        callback.on_before_optimizer_step(trainer, module, None)
    assert saved == [tmp_path / "nonfinite-step-3.ckpt"]
