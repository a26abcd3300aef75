"""What a finished run left, and what its first step computed: helpers of several test files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ssl_patches.training.pretrainer import Pretrainer

DRAWLESS = ("task=relation", "task.placed=0", "views=none", "sampler=tokens", "sampler.tile=8")
"""A task whose loss is a function of the images alone: all tiles are asked about, in an order that
does not matter."""


def last(run_dir: Path) -> dict:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return {
        key: value
        for key, value in last(run_dir)["state_dict"].items()
        if isinstance(value, torch.Tensor)
    }


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Of the two, relative to the largest value of each tensor."""
    assert one.keys() == other.keys()
    return max(
        float((one[key] - other[key]).abs().max() / other[key].abs().max().clamp(min=1e-12))
        for key in one
    )


@contextmanager
def first_gradients(monkeypatch) -> Iterator[dict[str, torch.Tensor]]:
    """Within: the gradients of the first step, by parameter, in the order of processes that were
    joined."""
    found: dict[str, torch.Tensor] = {}
    before = Pretrainer.on_before_optimizer_step

    def look(module: Pretrainer, optimizer) -> None:
        if module.global_step == 0:
            found.update(
                {
                    name: p.grad.clone()
                    for name, p in module.named_parameters()
                    if p.grad is not None
                }
            )
        before(module, optimizer)

    with monkeypatch.context() as patch:
        patch.setattr(Pretrainer, "on_before_optimizer_step", look)
        yield found
