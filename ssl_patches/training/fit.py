"""Train what is prepared to the end of its budget."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L

from ssl_patches.config.messages import Failed
from ssl_patches.config.run_dir import (
    LAST,
    read_checkpoint,
)
from ssl_patches.encoders.attention import choose_attention
from ssl_patches.training import processes
from ssl_patches.training.callbacks.checkpoint import Checkpoints, Durable
from ssl_patches.training.callbacks.ema import EncoderAverage
from ssl_patches.training.callbacks.meter import Meter
from ssl_patches.training.callbacks.nonfinite import StopAtNonFinite
from ssl_patches.training.callbacks.stop import Stop
from ssl_patches.training.malloc import keep_freed_memory
from ssl_patches.training.onednn import linears_in_onednn
from ssl_patches.training.prepare import Prepared
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.settings import PRECISIONS, compile_in_place


class Interrupted(Failed):
    """The user stopped a run; it can be resumed."""


def fit(run_dir: Path, run: Prepared, *, resumed: bool, logger: Any) -> None:
    """Train to the end of the budget. Raises Interrupted after ctrl-C or a signal, with the last
    step saved."""
    keep_freed_memory()
    run.data.store()
    settings, module = run.settings, run.module
    precision = settings.numbers()[0]
    *callbacks, stop, meter, checkpoints = _callbacks(run_dir, run)
    choose_attention(module, accelerator=settings.accelerator, precision=precision)
    if settings.compile:
        compile_in_place(module.tasks.values())
    trainer = L.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=processes.strategy(settings, partial=run.partial),
        plugins=[processes.environment(), Durable()],
        precision=PRECISIONS[precision],
        accumulate_grad_batches=settings.accumulate,
        max_steps=-1 if module.steps is None else module.steps,
        max_epochs=-1,  # the stream of batches never ends: a run is one Lightning epoch
        logger=logger,
        callbacks=[*callbacks, stop, meter, checkpoints],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=run_dir,
    )
    # between processes Lightning asks for SIGTERM in every step, which waits for the device; Stop
    # does without
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
    stopped = False
    try:
        with stop.listening(), linears_in_onednn(module) if settings.products() else nullcontext():
            trainer.fit(
                module,
                datamodule=run.data,
                ckpt_path=checkpoints.last if resumed else None,
                weights_only=True,
            )
        stopped = trainer.should_stop and module.progress() < 1
    except (KeyboardInterrupt, SystemExit):  # of a second signal
        stopped = True
    finally:
        if "wandb" in sys.modules and logger:
            sys.modules["wandb"].finish()
    if stopped:
        saved = f", saved in {checkpoints.last}" if checkpoints.last.exists() else ""
        raise Interrupted(
            f"stopped after {trainer.global_step} steps{saved}; go on with run_dir={run_dir}"
            " resume=true"
        )


def _callbacks(run_dir: Path, run: Prepared) -> list[L.Callback]:
    """All that watches a run; the last three are Stop, Meter and Checkpoints."""
    settings, every = run.settings, run.settings.log_every
    # observers compute with the model by themselves: in the first process, and where it has a whole
    # one
    observers = [] if processes.follows() or settings.strategy == "fsdp" else run.observers
    averages = [EncoderAverage(decay=settings.ema)] if settings.ema else []
    checkpoints = Checkpoints(
        run_dir / LAST.parent,
        minutes=settings.checkpoint_minutes,
        steps=settings.checkpoint_steps,
        keep=settings.checkpoints_kept,
        every=every,
    )
    meter = Meter(run_dir / "metrics.csv", every=every, flops_per_image=run.flops)
    # the meter ends a step: what observers take is not waiting for data
    return [
        *averages,
        StopAtNonFinite(run_dir, every=every),
        *observers,
        Stop(every=every),
        meter,
        checkpoints,
    ]


def gathered(whole: Pretrainer, divided: Pretrainer, last: Path) -> Pretrainer:
    """``whole``, as the last checkpoint holds what was trained in pieces."""
    whole.load_state_dict(read_checkpoint(last)["state_dict"])
    whole.steps_done, whole.spent = divided.steps_done, divided.spent
    return whole
