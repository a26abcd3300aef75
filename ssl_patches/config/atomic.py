"""Write a file or folder so that a reader sees the old content or the new one, never half of it.

The content is written aside, in the same folder, and moved to its place: a rename is atomic, on
network file systems too. What is aside is deleted when writing fails, a full disk above all. Every
file and folder that must be whole is written here, and an error of the system names it, whichever
library met it (``naming``). What must not replace another, such as a lock, is linked in place of
renamed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HALF = ".half"
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
ABANDONED = 3600.0  # seconds without a write after which nobody writes a file any more
NUMBER = re.compile(r"os error (\d+)")  # how libraries written in Rust pass on what a system said


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an error of the system within the block the name ``path``, where it has none.

    A write to a full disk names no file, torch's writer hides the error that it met, and
    safetensors tells it in its text. OSError in place of each; what is none passes through.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    except Exception as error:
        said = NUMBER.search(str(error))
        cause = error.__context__ if isinstance(error, RuntimeError) else None
        number = int(said[1]) if said else cause.errno if isinstance(cause, OSError) else None
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


@contextmanager
def replacing(path: Path, *, durable: bool = False, folder: Path | None = None) -> Iterator[Path]:
    """Yield a path to write to; when the block ends without an error it becomes ``path``.

    ``folder``: where it is written, on the same file system; None: beside ``path``. ``durable``:
    the content is on the disk before it gets its name, and the name before this returns, so that a
    machine that loses power has the old file or the new one too. What writing raises passes
    through, and then nothing is left of it; of a process that is killed ``.NAME.*.half`` may be.
    """
    aside = (folder or path.parent) / f".{path.name}.{uuid.uuid4().hex[:8]}{HALF}"
    try:
        with naming(path):
            yield aside
            if durable:
                flush(aside)
            os.replace(aside, path)
            if durable:
                flush(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def replacing_folder(
    path: Path, *, durable: bool = False, aside: Path | None = None
) -> Iterator[Path]:
    """Yield an empty folder to fill; when the block ends without an error it becomes ``path``.

    A folder that stands at ``path`` is replaced, and put back where that fails. ``durable``: as of
    ``replacing``. ``aside``: the folder to fill, beside ``path``; whoever holds the lock of
    ``path`` names one, so that what a killed process left there is found and deleted. None: a new
    name.
    """
    aside = aside or path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with naming(path):
            aside.mkdir()  # not mkdtemp, whose folders nobody else may read
            yield aside
            if durable:
                for one in (*aside.iterdir(), aside):
                    flush(one)
            _swap(aside, path)
            if durable:
                flush(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)  # already gone when it got its name


def tidy(folder: Path, name: str = "*") -> None:
    """Delete what killed processes left of files that were being written into ``folder``.

    ``name``: a pattern of the files. What was written to within ``ABANDONED`` seconds stays:
    somebody may be at it.
    """
    for half in folder.glob(f".{name}.{'[0-9a-f]' * 8}{HALF}"):
        with suppress(OSError):  # another process did so
            if time.time() - half.stat().st_mtime > ABANDONED:
                half.unlink()


def _swap(folder: Path, path: Path) -> None:
    if not path.exists():
        os.rename(folder, path)
        return
    old = folder.with_suffix(".old.tmp")
    shutil.rmtree(old, ignore_errors=True)
    os.rename(path, old)
    try:
        os.rename(folder, path)
    except OSError:
        os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def link(aside: Path, file: Path) -> None:
    """Give ``aside`` the name ``file`` as well; FileExistsError where that is taken.

    Where the file system has no hard links (exFAT, some shares) the content is written anew:
    whoever looks at that moment sees an empty file and looks again.
    """
    try:
        os.link(aside, file)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with file.open("x", encoding="utf-8") as opened:
            opened.write(aside.read_text(encoding="utf-8"))


def flush(path: Path) -> None:
    """Wait until the content of a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8, whole or not at all; what is no text is escaped."""
    with replacing(path) as aside:
        aside.write_text(content, encoding="utf-8", errors="backslashreplace")


def create_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8 under a name that is free, at once; FileExistsError where it is
    taken."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{HALF}")
    try:
        with naming(path):
            aside.write_text(content, encoding="utf-8")
            link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all; TypeError where JSON has no form."""
    write_text(path, json.dumps(content, indent=2) + "\n")
