"""Choose the orders of tiles that a jigsaw may show: as far apart, and as evenly spread, as they
can be.

Idea. The maps of a finite field that agree in few points *are* well separated permutations. On q
cells the maps a x + b (AGL(1, q)) differ in q - 1 places; on q + 1 cells, infinity being one, the
maps (a x + b) / (c x + d) (PGL(2, q)) differ in q - 1. Both meet the upper bound cells! / (distance
- 1)! on the size of such a set. Field automorphisms x -> x^p multiply both by e (q = p^e) at a
smaller distance. On 9 cells: 72 permutations at distance 8, 504 at 7, 1512 at 6.

Balance. Every set is a union of cosets of a subgroup that takes each cell to each cell exactly
once, so that each run of ``cells`` rows shows every tile once in every slot. The mean distance
depends on the slot counts alone and is then the largest possible.

Trap. The published sets (Noroozi & Favaro 2016, VISSL, and ports of them) maximise the *mean*
Hamming distance, which any balanced set does: they keep pairs that differ in 2 or 3 tiles only.

Sources: Noroozi & Favaro 2016 (arXiv:1603.09246) for the task; Deza & Vanstone 1978, "Bounds for
permutation arrays", for the bound and the sharply transitive groups that meet it.
"""

from __future__ import annotations

import math
import random
from itertools import permutations, product
from typing import Any

import torch
from torch import Tensor

LARGEST_SEARCHED = 10_000
"""Rows beyond what a group holds are searched for; the cost grows with their square."""


def permutation_table(cells: int, count: int) -> Tensor:
    """Choose ``count`` permutations of ``cells`` tiles: (count, cells) int64.

    The same ones on every call.

    Slot s of row r shows source tile ``table[r, s]``: ``shuffled = tiles[table[r]]``. Each tile
    appears in each slot count / cells times, rounded up or down; exactly that often where ``cells``
    divides ``count``.

    The distance is guaranteed where a group is large enough (``_groups``); more rows than that are
    searched for.

    The table has the shape (N, K), K cells. ValueError for fewer than 2 rows, more than ``cells``
    has permutations, or too many to search for.
    """
    if count < 2:
        raise ValueError(
            f"task.permutations={count}: must be at least 2 (one order asks nothing); set a larger"
            " number"
        )
    if count > math.factorial(cells):
        raise ValueError(
            f"task.permutations={count}: must be at most {math.factorial(cells)} (a grid of {cells}"
            " cells has no more orders); lower it or use a larger grid"
        )
    fitting = [group for group in _groups(cells) if group[1] >= count]
    needed = math.ceil(count / cells)
    if fitting:
        _, _, q, automorphisms = max(fitting)
        starts, regular = (_affine if q == cells else _projective)(q, automorphisms, needed)
    elif count <= LARGEST_SEARCHED:
        regular = _rotations(cells)
        starts = _searched(cells, needed)
    else:
        raise ValueError(
            f"task.permutations={count}: must be at most {LARGEST_SEARCHED} for {cells} cells (a"
            f" search beyond takes too long); set task.permutations={LARGEST_SEARCHED} or use"
            " task=position, which asks every tile"
        )
    return starts[:, regular].flatten(0, 1)[:count].contiguous()


def minimum_distance(table: Tensor) -> int:
    """Count the least number of slots in which two rows of ``table`` (N, K), N >= 2, differ."""
    return int(torch.pdist(table.float(), p=0).min())


def slot_counts(table: Tensor) -> Tensor:
    """Count how often tile t appears in slot s: (count, cells) -> (cells, cells) int64.

    Indexed [s, t].
    """
    cells = table.shape[1]
    pairs = torch.arange(cells, device=table.device) * cells + table
    return torch.bincount(pairs.flatten(), minlength=cells * cells).view(cells, cells)


def _groups(cells: int) -> list[tuple[int, int, int, int]]:
    """List groups on ``cells`` points: (minimum distance, order, q, automorphisms used).

    A map other than the identity agrees with it in at most 1 (affine) or 2 (projective) points, and
    one that moves the field in at most a line over the largest proper subfield.
    """
    groups = []
    for q, order in ((cells, cells * (cells - 1)), (cells - 1, cells * (cells - 1) * (cells - 2))):
        p, e = _prime_power(q)
        if p:
            groups.append((q - 1, order, q, 1))
        if e > 1:
            subfield = p ** max(d for d in range(1, e) if e % d == 0)
            groups.append((q - subfield, order * e, q, e))
    return groups


def _affine(q: int, automorphisms: int, needed: int) -> tuple[Tensor, Tensor]:
    """Build AGL(1, q), or AΓL: starts a x^(p^i) (at most needed, q), and the translations.

    These are a regular subgroup (q, q).
    """
    add, mul, powers = _field(q)
    starts = [mul[a, powers[i]] for i, a in product(range(automorphisms), range(1, q))][:needed]
    return torch.stack(starts), add


def _projective(q: int, automorphisms: int, needed: int) -> tuple[Tensor, Tensor]:
    """Build PGL(2, q), or PΓL: starts a x^(p^i) + b, and the powers of a (q + 1)-cycle.

    The starts leave infinity (cell q) alone.
    """
    add, mul, powers = _field(q)
    choices = list(product(range(automorphisms), range(1, q), range(q)))[:needed]
    infinity = torch.tensor([q])
    starts = torch.stack([torch.cat([add[b, mul[a, powers[i]]], infinity]) for i, a, b in choices])
    inverse = (mul == 1).long().argmax(1)
    inverse[0] = q
    for c, d in product(range(1, q), range(q)):
        step = torch.cat(
            [inverse[add[d, mul[c]]], torch.tensor([0])]
        )  # x -> 1 / (c x + d): infinity goes to 0
        cycle = [0]
        while (following := int(step[cycle[-1]])) != 0:
            cycle.append(following)
        if len(cycle) == q + 1:
            break
    place = torch.tensor(cycle).argsort()
    return starts, torch.tensor(cycle)[(place + torch.arange(q + 1)[:, None]) % (q + 1)]


def _field(q: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tabulate GF(q): x + y (q, q) and x y (q, q), and x^(p^i) (e, q).

    An element is its base-p digits.

    The powers of x modulo a primitive polynomial run through every element but 0: the first
    polynomial that does it.
    """
    p, e = _prime_power(q)
    weights = torch.tensor([p**i for i in range(e)])
    for tail in product(range(p), repeat=e):
        powers = [(1, *[0] * (e - 1))]
        while len(powers) < q - 1:
            *low, top = powers[-1]
            powers.append(
                tuple((digit - top * t) % p for digit, t in zip((0, *low), tail, strict=True))
            )
        if len(set(powers) - {(0,) * e}) == q - 1:
            break
    exp = (torch.tensor(powers) * weights).sum(1)
    digits = torch.arange(q)[:, None] // weights % p
    add = ((digits[:, None] + digits) % p * weights).sum(-1)
    log = torch.zeros(q, dtype=torch.long).scatter(0, exp, torch.arange(q - 1))
    nonzero = (torch.arange(q) > 0).long()
    mul = exp[(log[:, None] + log) % (q - 1)] * nonzero[:, None] * nonzero
    return add, mul, exp[log * weights[:, None] % (q - 1)] * nonzero


def _prime_power(q: int) -> tuple[int, int]:
    """Find (p, e) with q = p^e; (0, 0) where there is none."""
    p = next((d for d in range(2, q + 1) if q % d == 0), 0)
    e = round(math.log(q, p)) if p else 0
    return (p, e) if p and p**e == q else (0, 0)


def _rotations(cells: int) -> Tensor:
    steps = torch.arange(cells)
    return (steps + steps[:, None]) % cells


def _searched(cells: int, needed: int) -> Tensor:
    """Greedy: start orders (needed, cells), each as far as possible from all rotations of those
    before it.

    Tile 0 comes first in each, so that no two are rotations of one another. No distance is
    guaranteed.
    """
    size = max(2048, 2 * needed)
    if math.factorial(cells - 1) <= 2 * size:
        orders = list(permutations(range(1, cells)))
    else:
        draw = random.Random(cells)
        found: dict[Any, None] = {}
        while len(found) < size:
            found[
                tuple(
                    sorted(range(1, cells), key=[draw.random() for _ in range(cells)].__getitem__)
                )
            ] = None
        orders = list(found)
    pool = torch.tensor([(0, *order) for order in orders], dtype=torch.int16)
    chosen, distance = [0], torch.full((len(pool),), cells)
    for _ in range(needed - 1):
        taken = pool[chosen[-1]][_rotations(cells)]
        for row in taken:
            distance = torch.minimum(distance, (pool != row).sum(1))
        chosen.append(int(distance.argmax()))
    return pool[chosen].long()
