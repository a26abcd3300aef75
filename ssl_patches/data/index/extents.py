"""Read the headers of many files: in several processes where there are many, each quickly.

A plain JPEG or PNG is known at a glance (``glance.py``); of any other file ``headers.py`` says what
it is. Extents come as arrays, a few thousand files at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_patches.config.machine import cores
from ssl_patches.config.outside import check_regular
from ssl_patches.data.damage import HugeImageFile, UnreadableImage
from ssl_patches.data.glance import BEGIN, glance
from ssl_patches.data.headers import header

MANY = 20_000  # files from which it pays to start processes
PART = 2048  # files of a task
AHEAD = 32  # tasks
if sys.platform == "win32":
    OPENING = os.O_RDONLY | os.O_BINARY
else:
    OPENING = os.O_RDONLY | os.O_NONBLOCK  # a pipe without a writer would wait


Part = TypeVar("Part")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file that is not read.

    ``huge``: it is sound and too large. ``passing``: the system said so, and may say otherwise.
    """

    reason: str
    huge: bool
    passing: bool


@dataclass(frozen=True, slots=True)
class Looked:
    """What headers say: ``extents`` (M, 2) uint32, width and height; ``damaged`` by place."""

    extents: NDArray[np.uint32]
    damaged: dict[int, Damaged]


def extents_of(
    parts: Iterable[Sequence[str]],
    *,
    count: int,
    channels: int,
    where: str = "",
    ordinary: bool = False,
) -> Iterator[Looked]:
    """Yield what the headers of files say, in order, a part at a time.

    ``count``: of all files; ``channels``: those that samples must have; ``where``: what is read,
    for the line of progress, which a terminal sees after two seconds. ``ordinary``: all are known
    to be ordinary files, so they are not asked: a device may do something when it is opened.
    """
    bar = tqdm(
        total=count,
        desc=f"reading headers of {where}".strip(),
        unit="image",
        delay=2,
        disable=not sys.stderr.isatty(),
    )
    with pool(count) as workers, bar:
        for looked in results_in_order(
            workers, parts, partial(look_at, channels=channels, ordinary=ordinary)
        ):
            bar.update(len(looked.extents))
            yield looked


def look_at(paths: Sequence[str], *, channels: int, ordinary: bool = False) -> Looked:
    """Read the headers of some files, as ``extents_of``."""
    extents = np.zeros((len(paths), 2), np.uint32)
    damaged: dict[int, Damaged] = {}
    plain = channels in (1, 3)
    for at, path in enumerate(paths):
        found = _at_a_glance(path, ordinary) if plain else None
        if found is None:
            try:
                found = header(path, channels=channels)
            except UnreadableImage as error:
                cause = error.__cause__
                passing = isinstance(cause, OSError) and cause.errno is not None
                huge = isinstance(error, HugeImageFile)
                damaged[at] = Damaged(error.reason, huge, passing)
                continue
        extents[at] = found
    return Looked(extents, damaged)


def _at_a_glance(path: str, ordinary: bool) -> tuple[int, int] | None:
    try:
        if not ordinary:
            check_regular(path)
        file = os.open(path, OPENING)
    except OSError:
        return None
    try:
        return glance(os.read(file, BEGIN))
    except OSError:
        return None
    finally:
        os.close(file)


def pool(files: int) -> Executor:
    """Return what looks at so many files at once: processes for many, else threads."""
    # a network file system answers slowly; a local disk is as fast with one thread
    several = cores() or 1
    if files < MANY or several < 2 or sys.platform != "linux":
        return ThreadPoolExecutor(4)
    if multiprocessing.current_process().daemon:  # which may have no children
        return ThreadPoolExecutor(4)
    fork = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(min(several, 16), mp_context=fork, initializer=_deaf)


def _deaf() -> None:
    """Leave Ctrl-C to the main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def results_in_order(
    workers: Executor, parts: Iterable[Part], work: Callable[[Part], Found]
) -> Iterator[Found]:
    """Yield results in order, with few tasks at hand: ``map`` would take all parts at once."""
    waiting: deque[Future[Found]] = deque()
    for part in parts:
        waiting.append(workers.submit(work, part))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
