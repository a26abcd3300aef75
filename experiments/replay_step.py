"""python experiments/replay_step.py RUN_DIR/nonfinite-step-N.ckpt -> compute the step again that
ended a run, and name what is not finite.

As every draw of a step is a function of (seed, step, shard), the checkpoint that ``pretrain`` keeps
of such a step is all it takes. Where ``weights_before`` is false (on a GPU, where losses are looked
at every ``trainer.log_every`` steps), resume the run with ``trainer.log_every=1`` first: the step
comes again and is kept with the weights before it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_patches import config
from ssl_patches.data.module import PatchDataModule
from ssl_patches.training.onednn import linears_in_onednn
from ssl_patches.training.prepare import prepare
from ssl_patches.training.pretrainer import Pretrainer


def replay(
    module: Pretrainer, data: PatchDataModule, checkpoint: Mapping[str, Any]
) -> list[Tensor]:
    """Return the losses of all shards of the step that a checkpoint keeps, with gradients.

    ``module``: one like the run's. What the run had around its steps (autocast,
    ``linears_in_onednn``) is the caller's.
    """
    kept = checkpoint["nonfinite"]
    state = {key: value for key, value in checkpoint["state_dict"].items() if key[:4] != "ema."}
    module.load_state_dict(state)
    module.train()
    for task in module.tasks.values():
        task.at(kept["progress"])
    losses = []
    for shard in kept["shards"]:
        images = torch.stack([data.train[index][0] for index in shard["images"]])
        torch.manual_seed(shard["seed"])
        losses.append(module.losses(images.to(module.device))[0])
    return losses


def main(path: Path) -> None:
    """Print the loss of each shard and every parameter whose gradient is not finite."""
    run = prepare(config.load(path.parent / "config.yaml"))
    kept = torch.load(path, map_location="cpu", weights_only=True)
    print(
        f"step {kept['nonfinite']['step']}, weights before: {kept['nonfinite']['weights_before']}"
    )
    with linears_in_onednn(run.module) if run.settings.onednn_reason() else nullcontext():
        for number, loss in enumerate(replay(run.module, run.data, kept)):
            print(f"shard {number}: loss {loss.item():g}")
            loss.backward()
    for name, parameter in run.module.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            print(f"gradient of {name} is not finite")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
