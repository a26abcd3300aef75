"""Train what is prepared to the end of its budget."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import Logger

from ssl_patches.config.messages import Failed
from ssl_patches.config.run_dir import (
    LAST,
    newest_checkpoint,
    read_checkpoint,
)
from ssl_patches.encoders.attention import choose_attention
from ssl_patches.training import processes
from ssl_patches.training.callbacks.checkpoint import Checkpoints, DirectCheckpointIO
from ssl_patches.training.callbacks.ema import EncoderAverage
from ssl_patches.training.callbacks.meter import Meter
from ssl_patches.training.callbacks.nonfinite import StopAtNonFinite
from ssl_patches.training.callbacks.stop import Stop
from ssl_patches.training.lightning_private import without_sigterm_broadcast
from ssl_patches.training.onednn import linears_in_onednn
from ssl_patches.training.prepare import Prepared
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.settings import PRECISIONS, compile_in_place


class Interrupted(Failed):
    """The user stopped a run; it can be resumed."""


def fit(run_dir: Path, run: Prepared, *, resumed: bool, loggers: Sequence[Logger]) -> None:
    """Train to the end of the budget.

    ``resumed``: go on from the last checkpoint of ``run_dir``. ``loggers``: beside
    metrics.csv; whoever made them ends them.
    Interrupted after ctrl-C or a signal, with the last step saved; Failed where a loss is no finite
    number.
    """
    run.data.store()
    settings, module = run.settings, run.module
    precision = settings.resolved_precision()[0]
    watchers = _watchers(run_dir, run)
    stop, checkpoints = watchers.stop, watchers.checkpoints
    choose_attention(module, accelerator=settings.accelerator, precision=precision)
    if settings.compile:
        compile_in_place(module.tasks.values())
    trainer = L.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=processes.strategy(settings, partial=run.partial),
        plugins=[processes.environment(), DirectCheckpointIO()],
        precision=PRECISIONS[precision],
        accumulate_grad_batches=settings.accumulate,
        max_steps=-1 if module.steps is None else module.steps,
        max_epochs=-1,  # the stream of batches never ends: a run is one Lightning epoch
        logger=list(loggers) or False,
        callbacks=watchers.in_order(),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=run_dir,
    )
    without_sigterm_broadcast(trainer)
    stopped = False
    try:
        products = linears_in_onednn(module) if settings.onednn_reason() else nullcontext()
        with stop.listening(), products:
            trainer.fit(
                module,
                datamodule=run.data,
                ckpt_path=newest_checkpoint(run_dir) if resumed else None,
                weights_only=True,
            )
        stopped = trainer.should_stop and module.progress() < 1
    except (KeyboardInterrupt, SystemExit):  # of a second signal
        stopped = True
    if stopped:
        saved = f", saved in {checkpoints.last}" if checkpoints.last.exists() else ""
        raise Interrupted(f"stopped after {trainer.global_step} steps{saved}", run_dir)


@dataclass(frozen=True)
class Watchers:
    """All callbacks of a run, by what they do."""

    average: EncoderAverage | None
    nonfinite: StopAtNonFinite
    observers: Sequence[L.Callback]
    stop: Stop
    meter: Meter
    checkpoints: Checkpoints

    def in_order(self) -> list[L.Callback]:
        """List them as they are called after each step.

        The meter comes after the observers, whose time is not waiting for data, and checkpoints
        come last, so that they hold what the others keep.
        """
        average = [self.average] if self.average else []
        return [
            *average,
            self.nonfinite,
            *self.observers,
            self.stop,
            self.meter,
            self.checkpoints,
        ]


def _watchers(run_dir: Path, run: Prepared) -> Watchers:
    settings, every = run.settings, run.settings.log_every
    # observers compute with the model: in the first process, and where it has a whole one
    alone = not processes.is_follower() and settings.strategy != "fsdp"
    return Watchers(
        average=EncoderAverage(decay=settings.ema) if settings.ema else None,
        nonfinite=StopAtNonFinite(run_dir, every=every),
        observers=run.observers if alone else [],
        stop=Stop(every=every),
        meter=Meter(run_dir / "metrics.csv", every=every, flops_per_image=run.flops),
        checkpoints=Checkpoints(
            run_dir / LAST.parent,
            minutes=settings.checkpoint_minutes,
            steps=settings.checkpoint_steps,
            keep=settings.checkpoints_kept,
            every=every,
        ),
    )


def gathered(whole: Pretrainer, divided: Pretrainer, last: Path) -> Pretrainer:
    """Load into ``whole`` what was trained in pieces, from the last checkpoint, and return it."""
    whole.load_state_dict(read_checkpoint(last)["state_dict"])
    whole.steps_done, whole.spent = divided.steps_done, divided.spent
    return whole
