"""Freed memory is used again rather than fetched anew; in new processes, because it cannot be
undone and is inherited."""

from __future__ import annotations

import multiprocessing
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_patches.config.malloc import give_back_freed_memory, keep_freed_memory

BLOCK = 12 * 2**20  # floats, 48 MiB


def found_by(program: Callable[[Any], None], count: int) -> list[Any]:
    """What a program puts into its queue, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=program, args=(queue,))
    process.start()
    found = [queue.get() for _ in range(count)]
    process.join()
    return found


def faults(found: object) -> None:
    """Page faults of a block, without and with the setting."""
    for keep in (False, True):
        if keep:
            assert keep_freed_memory()
        for _ in range(8):
            torch.empty(BLOCK).fill_(1)
        each = []
        for _ in range(8):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.empty(BLOCK).fill_(1)
            each.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        found.put(min(each))  # a busy system may take pages back at any moment


@pytest.mark.slow  # a process that loads torch
@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_large_blocks_are_fetched_once():
    plain, kept = found_by(faults, 2)
    assert kept < 10 < plain  # of pages of 2 MiB, the largest there are, a block has 24


def resident(found: object) -> None:
    """MiB that a process holds while it has large blocks, after it freed them, and given back."""
    keep_freed_memory()

    def now() -> float:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    blocks = [torch.empty(BLOCK).fill_(1) for _ in range(6)]
    held = now()
    blocks.clear()
    freed = now()
    give_back_freed_memory()
    found.put((held, freed, now()))


@pytest.mark.slow  # a process that loads torch
@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_what_was_kept_is_given_back_when_it_is_asked_for():
    ((held, freed, back),) = found_by(resident, 1)
    assert held - freed < 60  # of 288 MiB
    assert held - back > 200
