"""Say when other work on this machine makes the threads of a step wait for each other.

The threads of a product end together: where a core is shared, all wait for the one that was put
aside, at every product. One thread gets its share of a core instead.
"""

from __future__ import annotations

import os

import torch

# of the cores: the load that a run leaves behind is no other work for the next
CROWDED = 2.5


def crowded(threads: int, cores: int, load: float) -> str | None:
    """Return a sentence with the remedy where ``threads`` would wait for each other, else None.

    ``load``: how many processes want a core, without these threads, over the last minute.
    """
    if threads < 2 or load + threads <= CROWDED * cores:
        return None
    return (
        f"other work keeps this machine busy (load average {load:.1f} on {cores} cores):"
        f" {threads} threads that wait for each other may be many times slower than one;"
        " OMP_NUM_THREADS=1 in front of the command takes one"
    )


def crowded_here() -> str | None:
    """Return what ``crowded`` says of this process; None where the system tells no load."""
    if not hasattr(os, "getloadavg"):
        return None
    return crowded(torch.get_num_threads(), os.cpu_count() or 1, os.getloadavg()[0])
