"""Read the headers of many files: in several processes where there are many, each quickly.

A plain JPEG or PNG is known at a glance (``glance.py``); of any other file ``headers.py`` says what
it is. Extents come as arrays, a few thousand files at a time. Files are opened by their names in
their folder, which the system finds sooner than by whole paths.
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
from ssl_patches.config.plain_text import printable
from ssl_patches.data.damage import HugeImageFile, UnreadableImage
from ssl_patches.data.glance import BEGIN, LEAST, glances, is_plain_png
from ssl_patches.data.headers import header
from ssl_patches.data.look import BY_FOLDER

MANY = 20_000  # files from which it pays to start processes
PART = 8192  # files of a task
AHEAD = 8  # tasks
TOGETHER = 256  # files whose beginnings are in memory at a time
if sys.platform == "win32":
    OPENING = os.O_RDONLY | os.O_BINARY
else:
    OPENING = os.O_RDONLY | os.O_NONBLOCK  # a pipe without a writer would wait


Names = Sequence[tuple[str, Sequence[str]]]
"""Files: folders, and the names in each."""
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
    parts: Iterable[Names],
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
        desc=printable(f"reading headers of {where}".strip()),
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


def by_folder(paths: Iterable[str]) -> Names:
    """Return files as they are looked at: those that follow each other in a folder together."""
    found: list[tuple[str, list[str]]] = []
    for path in paths:
        folder, name = os.path.split(path)
        if not found or found[-1][0] != folder:
            found.append((folder, []))
        found[-1][1].append(name)
    return found


def look_at(files: Names, *, channels: int, ordinary: bool = False) -> Looked:
    """Read the headers of some files, as ``extents_of``."""
    found = [np.zeros((0, 2), np.uint32)]
    for folder, names in files:
        plain = channels in (1, 3)
        found.append(
            _at_a_glance(folder, names, ordinary) if plain else np.zeros((len(names), 2), np.uint32)
        )
    extents = np.concatenate(found)
    damaged: dict[int, Damaged] = {}
    unknown = np.flatnonzero(extents[:, 0] == 0).tolist()
    paths = [os.path.join(*each) for each in _some(files, unknown)]
    for at, path in zip(unknown, paths, strict=True):
        try:
            extents[at] = header(path, channels=channels)
        except UnreadableImage as error:
            cause = error.__cause__
            passing = isinstance(cause, OSError) and cause.errno is not None
            huge = isinstance(error, HugeImageFile)
            damaged[at] = Damaged(error.reason, huge, passing)
    return Looked(extents, damaged)


def _some(files: Names, wanted: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Yield folder and name of the files of some numbers, which are in order."""
    left, first = iter(wanted), 0
    at = next(left, -1)
    for folder, names in files:
        while 0 <= at < first + len(names):
            yield folder, names[at - first]
            at = next(left, -1)
        first += len(names)


def _at_a_glance(folder: str, names: Sequence[str], ordinary: bool) -> NDArray[np.uint32]:
    """Return what ``glances`` says of the files of a folder, (N, 2); 0, 0 where it is not sure."""
    found = np.zeros((len(names), 2), np.uint32)
    try:
        here = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY) if BY_FOLDER else None
    except OSError:
        return found
    try:
        for at in range(0, len(names), TOGETHER):
            some = names[at : at + TOGETHER]
            if not ordinary:
                some = [name if _is_regular(folder, name) else "" for name in some]
            if here is None:
                some = [name and os.path.join(folder, name) for name in some]
            found[at : at + TOGETHER] = glances(_begins(some, here))
    finally:
        if here is not None:
            os.close(here)
    return found


def _is_regular(folder: str, name: str) -> bool:
    try:
        check_regular(os.path.join(folder, name))
    except OSError:
        return False
    return True


def _begins(names: Sequence[str], here: int | None) -> list[bytes]:
    """Read the beginnings of files; empty where one cannot be read.

    After a plain PNG as much is read as tells of another one, and the rest where it is none.
    """
    found, size = [], BEGIN
    for name in names:
        try:
            file = os.open(name, OPENING, dir_fd=here)
            try:
                begin = os.read(file, size)
                plain = is_plain_png(begin)
                if not plain and len(begin) == size < BEGIN:
                    begin += os.read(file, BEGIN - size)
            finally:
                os.close(file)
        except OSError:
            begin, plain = b"", False
        found.append(begin)
        size = LEAST if plain else BEGIN
    return found


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
