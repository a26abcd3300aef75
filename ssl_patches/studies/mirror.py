"""Keep folders of runs in an object store: each state of a folder is one object, whole or not
there.

A state is a tar of the folder, called ``NUMBER[-finished]-SHA256.tar``. Who fetches it hashes it,
so half an upload is never taken for a run: the state before it is, which is kept too. A finished
state stands above all others, then counts the number. What two writers of one folder leave (a
machine that was given up and went on for a while) are states of the same run, of which any may go
on.

The trap: files under their own names. A kill in the midst of an upload leaves a checkpoint of one
step beside what another one logged, and nothing tells.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ssl_patches.config.atomic import HALF, replacing_folder
from ssl_patches.config.locks import FOLDER as LOCKS
from ssl_patches.config.messages import Say
from ssl_patches.config.run_dir import LAST, TRIAL
from ssl_patches.studies.object_store import ObjectStore

NAME = re.compile(r"(\d{6})(-finished)?-([0-9a-f]{64})\.tar")
KEPT = 2
"""States of a folder that are kept: the newest, and the one before."""
LOOK = 1.0  # seconds between looks for a new checkpoint


@dataclass(frozen=True, order=True)
class KeptState:
    """A state of a folder in the store; a later one is greater."""

    finished: bool
    number: int
    sha256: str
    bytes: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """Return the last part of its name in the store."""
        return f"{self.number:06d}{'-finished' * self.finished}-{self.sha256}.tar"


def states(store: ObjectStore, place: str = "") -> dict[str, list[KeptState]]:
    """List the states at or below ``place``: path of the folder -> its states, oldest first.

    ValueError where the store refuses or does not answer, as of all that follows.
    """
    found: dict[str, list[KeptState]] = {}
    for path, size in store.sizes(place).items():
        folder, _, name = path.rpartition("/")
        if known := NAME.fullmatch(name):
            state = KeptState(bool(known[2]), int(known[1]), known[3], size)
            found.setdefault(folder, []).append(state)
    return {folder: sorted(each) for folder, each in found.items()}


def push(store: ObjectStore, folder: Path, place: str, *, finished: bool = False) -> None:
    """Keep ``folder`` as the newest state of ``place``; nothing where that is what is there."""
    before = states(store, place).get(place, [])
    with tempfile.TemporaryDirectory() as aside:
        packed = Path(aside, "state.tar")
        _pack(folder, packed, whole=finished)
        number = max((state.number for state in before), default=0) + 1
        state = KeptState(finished, number, _sha256(packed), packed.stat().st_size)
        if before and (before[-1].finished, before[-1].sha256) == (finished, state.sha256):
            return
        store.put(packed, f"{place}/{state.name}")
    store.remove(*(f"{place}/{old.name}" for old in sorted([*before, state])[:-KEPT]))


def pull(store: ObjectStore, place: str, into: Path, *, say: Say) -> KeptState | None:
    """Make ``into`` the newest whole state of ``place``, and return it; None where there is none.

    A folder that is there is replaced; the caller has its lock. ValueError for a state that holds
    what no run writes, as one from a stranger may.
    """
    for state in reversed(states(store, place).get(place, [])):
        with tempfile.TemporaryDirectory() as aside:
            packed, name = Path(aside, "state.tar"), f"{place}/{state.name}"
            if not store.get(name, packed, size=state.bytes):
                continue  # deleted meanwhile
            if _sha256(packed) != state.sha256:
                say(f"{store.url}/{name}: is not whole; the state before it is taken")
                continue
            into.parent.mkdir(parents=True, exist_ok=True)
            with replacing_folder(into) as folder, tarfile.open(packed) as tar:
                _refuse_strange(tar, f"{store.url}/{name}")
                tar.extraction_filter = getattr(tarfile, "data_filter", None)  # not before 3.11.4
                tar.extractall(folder)
        return state
    return None


@contextmanager
def keeping(folder: Path, keep: Callable[[], None], *, say: Say) -> Iterator[None]:
    """Call ``keep`` at each new checkpoint or trial in ``folder`` while in the block, beside it.

    What it raises, ValueError or OSError, is said; the next call may succeed.
    """
    stop, before = threading.Event(), _marks(folder)

    def watch() -> None:
        known = before
        while not stop.wait(LOOK):
            try:
                if (now := _marks(folder)) != known:
                    known = now
                    keep()
            except (ValueError, OSError) as error:
                say(f"{folder.name}: not kept at this checkpoint: {error}")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _marks(folder: Path) -> dict[Path, int]:
    """Return what changes in ``folder`` when there is something to keep."""
    found = {}
    for file in _files(folder):
        if file.name in (LAST.name, TRIAL):
            with suppress(FileNotFoundError):
                found[file] = file.stat().st_mtime_ns
    return found


def _files(folder: Path) -> list[Path]:
    """List what a run has written into ``folder``; not locks, nor what is being written."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != LOCKS and not _is_half(name)]
        found += [Path(at, name) for name in names if not _is_half(name)]
    return found


def _is_half(name: str) -> bool:
    return name.startswith(".") and name.endswith((HALF, ".tmp"))


def _pack(folder: Path, packed: Path, *, whole: bool) -> None:
    """Write a tar of what a kill at this moment would leave in ``folder``.

    The last checkpoint comes first: a log that is longer than it is cut when the run goes on, one
    that is shorter would lack rows. ``whole``: with the older checkpoints; nobody writes any more.
    """
    with tarfile.open(packed, "w") as tar:
        for file in sorted(_files(folder), key=lambda file: (file.name != LAST.name, file)):
            older = file.name.startswith("step-") and file.suffix == ".ckpt" and not whole
            if older or file.is_symlink() or not file.is_file():
                continue
            with suppress(FileNotFoundError), file.open("rb") as opened:  # it may go at any time
                if not whole:  # the number of a file that is gone may be given to another
                    tar.inodes.clear()  # type: ignore[attr-defined]
                name = file.relative_to(folder).as_posix()
                tar.addfile(tar.gettarinfo(arcname=name, fileobj=opened), opened)


def _refuse_strange(tar: tarfile.TarFile, name: str) -> None:
    """Raise ValueError unless a tar holds plain files below its folder alone."""
    for member in tar:
        places = [PurePosixPath(place) for place in (member.name, member.linkname) if place]
        outside = any(place.is_absolute() or ".." in place.parts for place in places)
        if outside or not (member.isreg() or member.islnk()):
            raise ValueError(
                f"{name}: holds {member.name!r}, which no run writes; delete it, or name another"
                " folder"
            )


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
