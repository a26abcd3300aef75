"""Lock a run directory: at most one process works in it, on this machine or on another one that
sees the same folder.

The lock of the directory NAME is a file ``.claims/NAME.N`` beside it that says host, process and
when it began. N counts the owners so far; the file with the highest N is the lock in force, and it
is never deleted while NAME is there: to take over from an owner that is gone means to make N + 1. A
file appears complete and at once (written aside, then ``os.link``, which fails where the name
exists; atomic on NFS too), so of any number of processes that find the same owner gone exactly one
succeeds. That is all the locking there is.

An owner is gone when it said so, when it ran on this machine and its process is no more (a pid used
again has another start time), or when it ran elsewhere and its heartbeat, the file's time of
change, is older than ``SILENCE``. Ages are told by the file server's clock alone: that of two
machines may differ.

The trap: delete a stale lock and make a new one. A second process that judged the old lock stale
then deletes the new one, and both run.

Why no library (filelock 4.2 and flufl.lock 10.0 were tried): filelock takes over from a killed
process at once, but names no owner, cannot tell one that was killed from one that ended, and leaves
other machines to the file server. flufl.lock believes an owner that was killed until its lifetime
is over, a zombie too, compares the clocks of machines, and breaks an expired lock by deleting it,
which is the trap above.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from ssl_patches.config.atomic import link, write_text
from ssl_patches.config.outside import read_json
from ssl_patches.config.owners import Owner, lives_here, myself
from ssl_patches.config.plain_text import tell

HEARTBEAT = 30.0  # seconds
SILENCE = 20 * HEARTBEAT
FOLDER = ".claims"
NO_PLACE = (errno.EACCES, errno.EROFS, errno.EPERM)


def owner(directory: Path) -> Owner | None:
    """Return the process that works in ``directory`` now, or None.

    ValueError where the lock is a file that we did not write.
    """
    number, last = _newest(directory)
    return last if last and _alive(last, _file(directory, number)) else None


def left_behind(directory: Path) -> bool:
    """Tell whether the last owner of ``directory`` is gone without a word: it was killed."""
    _, last = _newest(directory)
    return last is not None and not last.released and owner(directory) is None


def refuse_others(directory: Path) -> None:
    """Raise ValueError while another process works in ``directory``."""
    other = owner(directory)
    if other is not None and directory.resolve() not in _ours:
        raise ValueError(
            f"run_dir={directory}: {other} works in it; wait for it or stop it, or set another"
            " run_dir"
        )


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Lock ``directory`` for the block, as ``locked``; ValueError while another process has it."""
    with locked(directory) as ours:
        if not ours:
            refuse_others(directory)
            raise ValueError(f"run_dir={directory}: another process has just used it; try again")
        yield


@contextmanager
def locked(directory: Path) -> Iterator[bool]:
    """Lock ``directory`` for the block; yield False, without the lock, while another process has
    it.

    Within this process, a block inside the block of the same directory is part of it.
    """
    if (place := directory.resolve()) in _ours:
        yield True
        return
    try:
        file = _acquire(directory)
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        tell(
            f"{directory.parent}: cannot be written ({error.strerror}), so nothing keeps a second"
            f" process out of {directory}",
            file=sys.stderr,
        )
        yield True
        return
    if file is None:
        yield False
        return
    _ours.add(place)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(directory, file, stop), daemon=True)
    beat.start()
    try:
        yield True
    finally:
        stop.set()
        beat.join()
        _ours.discard(place)
        with suppress(FileNotFoundError):  # the directory was removed together with its locks
            _release(file)


_ours: set[Path] = set()


def remove_locks(directory: Path) -> None:
    """Delete the locks of a directory that is no more."""
    for file in _files(directory):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # others are locked beside it
        (directory.parent / FOLDER).rmdir()


def _acquire(directory: Path) -> Path | None:
    """Return the lock file that is now ours, or None when ``directory`` is someone else's."""
    number, last = _newest(directory)
    if last and _alive(last, _file(directory, number)):
        return None
    file, me = _file(directory, number + 1), asdict(myself())
    aside = file.with_name(f".{uuid.uuid4().hex}")
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_text(json.dumps(me), encoding="utf-8")
            link(aside, file)
        except FileExistsError:
            return None
        except FileNotFoundError:  # ``remove`` took the folder away
            continue
        finally:
            aside.unlink(missing_ok=True)
        break
    others = [other for other in _files(directory) if other != file]
    if _passed(file, others):  # ours filled a gap: its number had been used and tidied away
        file.unlink(missing_ok=True)
        return None
    for old in others:
        old.unlink(missing_ok=True)
    return file


def _release(file: Path) -> None:
    """Say that the owner is gone; the number stays taken."""
    write_text(file, json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"released": True}))


def _beat(directory: Path, file: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with suppress(OSError):  # a server that does not answer for a moment
            os.utime(file)
        if _passed(file, _files(directory)):
            # this process was silent for so long that another one went on; two in one directory
            # would spoil the run
            tell(
                f"{directory}: was taken over by another process while this one stood still; it"
                " ends",
                file=sys.stderr,
            )
            os._exit(1)


def _newest(directory: Path) -> tuple[int, Owner | None]:
    """Return the highest number and its owner; 0 and None where there never was one."""
    for file in sorted(_files(directory), key=_number, reverse=True):
        try:
            _await_content(file)
            return _number(file), Owner(**read_json(file))
        except FileNotFoundError:  # deleted by the owner of a higher one
            return _newest(directory)
        except (ValueError, TypeError):
            raise ValueError(
                f"{file}: is no lock of ssl-patches; delete it when nothing works in {directory}"
            ) from None
    return 0, None


def _await_content(file: Path) -> None:
    """Wait a moment where a lock is being written without hard links."""
    for _ in range(20):
        if file.stat().st_size:
            return
        time.sleep(0.05)


def _files(directory: Path) -> list[Path]:
    places = (directory.parent / FOLDER).glob(f"{glob.escape(directory.name)}.*")
    return [file for file in places if file.suffix[1:].isdigit() and file.stem == directory.name]


def _file(directory: Path, number: int) -> Path:
    return directory.parent / FOLDER / f"{directory.name}.{number}"


def _number(file: Path) -> int:
    return int(file.suffix[1:])


def _passed(file: Path, others: Sequence[Path]) -> bool:
    """Tell whether there is a lock of a higher number."""
    return any(_number(other) > _number(file) for other in others)


def _alive(last: Owner, file: Path) -> bool:
    if (here := lives_here(last)) is not None:
        return here
    probe = file.with_name(f".{uuid.uuid4().hex}")
    try:
        probe.touch()  # what time is it where the heartbeat is written?
        return probe.stat().st_mtime - file.stat().st_mtime < SILENCE
    except FileNotFoundError:
        return False
    except OSError:  # a folder that may only be read
        return time.time() - file.stat().st_mtime < SILENCE
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
