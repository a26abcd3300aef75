"""What a step costs is known before: memory as the allocator counts it, time in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMALL, SMALL_DATA
from torch.profiler import ProfilerActivity, profile

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training import cost
from ssl_patches.training.prepare import prepare
from ssl_patches.training.pretrainer import Pretrainer

VIT = SMALL[:2]
RESNET = (
    "encoder=resnet18",
    "encoder.options={channels:[8,12,16,32],layers:[1,1,1,1]}",
    "encoder.output_stride=8",
)


def allocated(module: Pretrainer, images: torch.Tensor, trace: Path) -> float:
    """The peak of torch's own allocator in a step, weights and the optimizer's state included, from
    a profiler's trace."""
    optimizer = module.train().configure_optimizers()

    def step() -> None:
        module.losses(images)[0].backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    state = [
        value
        for each in optimizer.state.values()
        for value in each.values()
        if isinstance(value, torch.Tensor)
    ]
    kept = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers(), *state))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    profiler.export_chrome_trace(str(trace))
    events = [
        event
        for event in json.loads(trace.read_text())["traceEvents"]
        if event["name"] == "[memory]"
    ]
    course = np.cumsum(
        [event["args"]["Bytes"] for event in sorted(events, key=lambda event: event["ts"])]
    )
    return kept + float(course.max())


@pytest.mark.parametrize(
    "words",
    [(*VIT, "task=masked"), (*VIT, "task=relation"), (*RESNET, "task=jigsaw")],
    ids=["masked", "relation", "resnet"],
)
def test_memory_is_within_a_quarter_of_what_the_allocator_reaches(words, tmp_path):
    run = prepare(mixture.request([*words, *SMALL_DATA], supplied=SUPPLIED, schema=PRETRAIN))
    images = torch.stack([run.data.train[index][0] for index in range(64)])
    before = [value.clone() for value in run.module.parameters()]
    needed = cost.measure_memory(run.module, images[: 2 * cost.FEW], bf16=False)
    assert all(map(torch.equal, before, run.module.parameters()))
    reached = allocated(run.module, images, tmp_path / "trace.json")
    assert 0.8 < needed.step(64) / reached < 1.25
    assert needed.step(16) / reached < 0.8  # the check can fail


def test_what_grows_with_the_batch_is_not_hidden_by_what_does_not():
    """Few images: gradients are the peak. Many: what forward keeps is, which an extension of peaks
    alone would miss."""
    assert cost.Memory(10, [(100.0, 1.0), (0.0, 5.0)]).step(4) == 10 + 104
    assert cost.Memory(10, [(100.0, 1.0), (0.0, 5.0)]).step(1000) == 10 + 5000


@pytest.mark.parametrize(
    ("seconds", "words"), [(40.2, "40 s"), (89, "89 s"), (720, "12 min"), (12600, "3.5 h")]
)
def test_durations_in_words(seconds, words):
    assert cost.duration(seconds) == words
