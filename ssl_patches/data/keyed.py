"""Permute 0..n-1 by a key, any part of it at a time, without a list of it.

A Feistel network over the bits of a number (Luby and Rackoff, 1988) permutes 0..2**b - 1; what
leaves 0..n-1 goes through it again until it is back ("cycle walking", Black and Rogaway, 2002),
which is less than twice on average, as 2**b < 2n. So a thousand million images have an order that
takes no memory, and each process computes the part that it needs.

The round function is the finaliser of splitmix64 (Steele et al., 2014). This mixes; it hides
nothing from anybody. The trap: numpy's and torch's own shuffling, which a release may change; here
are integers and ``PCG64``, whose raw words numpy guarantees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8


def keyed(at: NDArray[np.int64], length: int, entropy: Sequence[int]) -> NDArray[np.int64]:
    """Return what stands at some places of a permutation of 0..length-1, (M,) int64.

    ``at`` (M,): places, 0..length-1. ``entropy``: numbers from 0 on that tell permutations apart.
    """
    words = np.random.PCG64(np.random.SeedSequence(tuple(entropy))).random_raw(ROUNDS)
    keys, bits = np.asarray(words, np.uint64), max(2, (length - 1).bit_length())
    found = _round_trip(at.astype(np.uint64), keys, bits)
    outside = np.flatnonzero(found >= length)
    while len(outside):
        found[outside] = _round_trip(found[outside], keys, bits)
        outside = outside[found[outside] >= length]
    return found.astype(np.int64)


def _round_trip(
    values: NDArray[np.uint64], keys: NDArray[np.uint64], bits: int
) -> NDArray[np.uint64]:
    """Permute the numbers of so many bits: each half is mixed with what the other becomes."""
    low = np.uint64(bits // 2)
    small, large = (np.uint64((1 << size) - 1) for size in (bits // 2, bits - bits // 2))
    left, right = values >> low, values & small
    for turn, key in enumerate(keys):
        if turn % 2:
            right = right ^ (_mixed(left ^ key) & small)
        else:
            left = left ^ (_mixed(right ^ key) & large)
    return left << low | right


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    found = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))
