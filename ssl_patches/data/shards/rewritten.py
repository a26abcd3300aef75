"""Tell which images of a shard are not those that were packed, so that only these are lost.

A disk that loses a bit, or a copy that went wrong, changes one image of thousands.
``ssl-patches pack`` keeps a sum of the bytes of each beside the shard. What else a shard holds,
names and labels, has to be what it was: otherwise nothing of it is believed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.shards.listing import TABLE, Shard
from ssl_patches.data.shards.members import Members, members_of_tar, read_members, read_sums

REASON = "its bytes are not those that were packed"


def sound_part(shard: Shard) -> Members | None:
    """Return the table of the images of a tar that are what they were when it was packed.

    Those that are not are its ``damaged``. None where more than images changed, or where it is not
    known what they were.
    """
    table = Path(f"{shard.url}{TABLE}")
    before, sums = read_members(table), read_sums(table)
    if before is None or sums is None or len(sums) != len(before):
        return None
    try:
        now = members_of_tar(shard.url, shard)
    except ValueError:  # the archive itself is damaged
        return None
    if not _same(before, now):
        return None
    sound = sums_of(Path(shard.url), now) == sums
    names = before.name_list()
    damaged = [names[at] for at in np.flatnonzero(~sound).tolist()]
    return replace(before.take(np.flatnonzero(sound)), damaged=damaged)


def sums_of(path: Path, members: Members) -> NDArray[np.uint64]:
    """Return a sum of the bytes of each image in a tar, (N,): of sha256 the first eight bytes."""
    digests = []
    with path.open("rb") as file:
        for offset, length in zip(members.offsets.tolist(), members.lengths.tolist(), strict=True):
            file.seek(offset)
            digests.append(hashlib.sha256(file.read(length)).digest()[:8])
    return np.frombuffer(b"".join(digests), np.uint64)


def _same(one: Members, other: Members) -> bool:
    """Tell whether two tables say the same of a shard: places, names and labels of its images."""
    arrays = (
        (one.offsets, other.offsets),
        (one.lengths, other.lengths),
        (one.labels, other.labels),
    )
    return all(np.array_equal(*pair) for pair in arrays) and (
        (one.names, one.classes, one.contradict) == (other.names, other.classes, other.contradict)
    )
