"""Make a folder appear under its final name when it is whole, or not at all.

It is filled beside its final place, flushed to the disk, then renamed (``config/atomic.py``). Trap:
a rename without a flush can survive a power cut while what it names does not.

A process that is killed leaves what it filled. The next one that makes the same folder on the same
machine deletes it: the system's lock (``flock``) on it is free then, and it holds names of ours
alone.
"""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_patches.config.atomic import replacing_folder
from ssl_patches.config.outside import read_json
from ssl_patches.encoders.exported import FILES, README


def check_free(target: Path, *, overwrite: bool, mark: str) -> None:
    """Refuse a folder that is in use, by ValueError.

    ``overwrite`` replaces a folder only if it holds the file ``mark``, the card that lists its
    files, and no others.
    """
    if target.exists() and not target.is_dir():
        raise ValueError(
            f"output={target}: must be a folder and is a file; set output to another path"
        )
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not overwrite:
        raise ValueError(
            f"output={target}: must be new or empty and is not; set another output, or"
            " overwrite=true"
        )
    if not (target / mark).is_file():
        raise ValueError(
            f"output={target}: overwrite=true replaces the whole folder, and must not delete one"
            f" that is no export (it has no {mark}); set output to another path"
        )
    if others := _strange(target, mark):
        raise ValueError(
            f"output={target}: overwrite=true replaces the whole folder, and it holds {others[0]},"
            " which no export wrote; move it elsewhere, or set output to another path"
        )


def _strange(target: Path, mark: str) -> list[str]:
    """Return the names in an export that its card, or ``NAMES`` where it is damaged, lacks."""
    try:
        listed = read_json(target / mark)["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return sorted(place.name for place in target.iterdir() if place.name not in (mark, *NAMES))
    return sorted(place.name for place in target.iterdir() if place.name not in (mark, *listed))


NAMES = (README, *FILES, "encoder.onnx", "encoder.pt2", "reference.npz")
"""Names of the files of an export whose card is damaged."""


@contextmanager
def staged(directory: Path, *, overwrite: bool, mark: str) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes ``directory`` at the end.

    It vanishes when the block raises.
    ValueError before anything is written when ``directory`` is in use (see ``check_free``).
    """
    target = Path(directory).expanduser().resolve()
    check_free(target, overwrite=overwrite, mark=mark)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(target, durable=True, aside=_aside(target, mark)) as folder:
        lock = _locked(folder)
        try:
            yield folder
            check_free(target, overwrite=overwrite, mark=mark)
        finally:
            if lock is not None:
                os.close(lock)


def _aside(target: Path, mark: str) -> Path:
    """Name the folder to fill, after deleting what a killed process of this machine filled."""
    here = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    for left in target.parent.glob(f".{glob.escape(target.name)}.{here}*.tmp"):
        held = [path.name for path in left.iterdir()] if left.is_dir() else []
        if held and set(held) <= {mark, *NAMES} and (lock := _locked(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    return target.with_name(f".{target.name}.{here}{uuid.uuid4().hex[:24]}.tmp")


def _locked(folder: Path) -> int | None:
    """Lock a folder, and return its open file; None where another has it, or nobody can."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
