"""Say in which order the images of an epoch are visited.

Up to ``KEYED_FROM`` images an epoch is a permutation that is sorted and kept; of more it is a
function (``keyed.py``), of which a few thousand places are in memory. A run that was begun before
that was so goes on with the list that it had. Shards have an order of their own, which reads blocks
one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.keyed import keyed
from ssl_patches.data.source import ImageSource

KEYED_FROM = 2**17  # images from which an order is a keyed permutation, in runs of ``ORDER`` 2
ORDER = 2
"""The rule of the order in new runs. Those of before have no number, and go on with 1."""
TOGETHER = 8192  # places of a keyed permutation that are computed at a time


def permutation(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order (length,) int64 in which ``epoch`` visits ``length`` images, by rule 1.

    Sorted raw words of PCG64: numpy guarantees those for ever, and its own or torch's shuffling it
    does not. Few are kept at hand, many would stay in memory.
    """
    return (_kept_permuted if length < KEYED_FROM else _permuted)(length, seed, epoch)


def _permuted(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    draws = np.random.PCG64(np.random.SeedSequence((seed, epoch))).random_raw(length)
    return draws.argsort(kind="stable")


@lru_cache(maxsize=2)
def _kept_permuted(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    order = _permuted(length, seed, epoch)
    order.flags.writeable = False  # it is shared by the cache
    return order


@lru_cache(maxsize=1)
def _epoch(length: int, seed: int, epoch: int) -> NDArray[np.integer[Any]]:
    """Return ``permutation`` in as few bytes as hold it."""
    order = permutation(length, seed, epoch)
    return order.astype(np.uint32 if length < 2**32 else np.int64)


class Order(Protocol):
    """The order in which the images of an epoch are visited, of which any part can be had."""

    def part(self, epoch: int, begin: int, end: int) -> NDArray[np.int64]:
        """Return the indices at places begin..end-1 of ``epoch``; fewer where it ends."""


@dataclass(frozen=True)
class AnyOrder:
    """One permutation of all images an epoch; that of the present one is in memory, in 4 bytes an
    image where that is enough."""

    length: int
    seed: int

    def part(self, epoch: int, begin: int, end: int) -> NDArray[np.int64]:
        """Return the indices at places begin..end-1 of ``epoch``; fewer where it ends."""
        return _epoch(self.length, self.seed, epoch)[begin:end].astype(np.int64)


@dataclass(frozen=True)
class KeyedOrder:
    """One permutation of all images an epoch, of which a few thousand places are in memory."""

    length: int
    seed: int

    def part(self, epoch: int, begin: int, end: int) -> NDArray[np.int64]:
        """Return the indices at places begin..end-1 of ``epoch``; fewer where it ends."""
        end = min(end, self.length)
        found = [np.zeros(0, np.int64)]
        for at in range(begin // TOGETHER, -(-end // TOGETHER)):
            first = at * TOGETHER
            found.append(_keyed(self, epoch, at)[max(begin - first, 0) : max(end - first, 0)])
        return np.concatenate(found)


@lru_cache(maxsize=2)
def _keyed(order: KeyedOrder, epoch: int, at: int) -> NDArray[np.int64]:
    places = np.arange(at * TOGETHER, min((at + 1) * TOGETHER, order.length))
    # the third number tells these draws from all others of a seed
    return keyed(places, order.length, (order.seed, epoch, 3))


class BlockOrder:
    """Blocks in an order of their own in each epoch, ``mixed`` of them at a time, shuffled.

    Every image is visited once an epoch, and a block is done with before the next ``mixed`` ones
    begin, so it is read once, from its beginning to its end. Only the blocks of a moment are in
    memory. ``ahead`` is told the blocks that come next.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        *,
        mixed: int,
        seed: int,
        ahead: Callable[[Sequence[int]], None] = lambda blocks: None,
    ) -> None:
        self.counts = np.asarray(blocks, np.int64)
        self.first = np.concatenate([[0], np.cumsum(self.counts)])
        self.mixed, self.seed, self.ahead = mixed, seed, ahead
        self._told: tuple[int, int] | None = None

    def part(self, epoch: int, begin: int, end: int) -> NDArray[np.int64]:
        """Return the indices at places begin..end-1 of ``epoch``; fewer where it ends."""
        groups, bounds = self._groups(epoch)
        end = min(end, int(bounds[-1]))
        found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        at = int(np.searchsorted(bounds, begin, "right")) - 1
        while begin < end:
            stop = min(end, int(bounds[at + 1]))
            found.append(self._group(epoch, at)[begin - int(bounds[at]) : stop - int(bounds[at])])
            self._tell(epoch, at, groups)
            begin, at = stop, at + 1
        return np.concatenate(found)

    def _groups(self, epoch: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Return the blocks that are mixed with each other, and where each such group begins."""
        order = _raw(len(self.counts), (self.seed, epoch, 1)).argsort(kind="stable")
        groups = [order[at : at + self.mixed] for at in range(0, len(order), self.mixed)]
        sizes = [int(self.counts[group].sum()) for group in groups]
        return groups, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @lru_cache(maxsize=2)  # noqa: B019, one object a run, which lives as long as it
    def _group(self, epoch: int, at: int) -> NDArray[np.int64]:
        group = np.sort(self._groups(epoch)[0][at])
        images = np.concatenate([np.arange(self.first[one], self.first[one + 1]) for one in group])
        draws = _raw(len(images), (self.seed, epoch, 2, at))
        return np.asarray(images[draws.argsort(kind="stable")])

    def _tell(self, epoch: int, at: int, groups: list[NDArray[np.int64]]) -> None:
        if self._told != (epoch, at):
            self._told = epoch, at
            self.ahead([int(one) for group in groups[at : at + 2] for one in group])


def _raw(count: int, entropy: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return raw words of PCG64, as ``permutation`` takes them."""
    return np.asarray(np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(count))


def order_of(source: ImageSource, seed: int, *, rule: int = ORDER) -> Order:
    """Return the order in which a source is visited, given ``seed``.

    ``rule``: of the run, see ``ORDER``; they differ from ``KEYED_FROM`` images on.
    """
    if source.blocks is None:
        return any_order(len(source), seed, rule)
    return BlockOrder(source.blocks, mixed=source.mixed, seed=seed, ahead=source.expect)


def any_order(length: int, seed: int, rule: int) -> Order:
    """Return the order of ``length`` images that may be read in any, given ``seed`` and rule."""
    return (KeyedOrder if rule >= ORDER and length >= KEYED_FROM else AnyOrder)(length, seed)
