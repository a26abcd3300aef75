"""Freed memory is used again rather than fetched anew; in new processes, because it cannot be
undone and is inherited."""

from __future__ import annotations

import multiprocessing
import resource
import sys

import pytest
import torch

from ssl_patches.training.malloc import keep_freed_memory

BLOCK = 12 * 2**20  # floats, 48 MiB


def faults(keep: bool, found: object) -> None:
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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_large_blocks_are_fetched_once():
    context, counts = multiprocessing.get_context("spawn"), []
    for keep in (True, False):
        queue = context.SimpleQueue()
        process = context.Process(target=faults, args=(keep, queue))
        process.start()
        counts.append(queue.get())
        process.join()
    kept, plain = counts
    assert kept < 10 < plain  # of pages of 2 MiB, the largest there are, a block has 24
