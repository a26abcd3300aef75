"""Write a file so that a reader sees the old content or the new one, never half of it.

The content is written aside, in the same folder, and moved over the file: a rename is atomic, on
network file systems too. What is aside is deleted when writing fails, a full disk above all.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, *, durable: bool = False, folder: Path | None = None) -> Iterator[Path]:
    """Yield a path to write to; when the block ends without an error it becomes ``path``.

    ``folder``: where it is written, on the same file system; None: beside ``path``. ``durable``:
    the content is on the disk before it gets its name, so that a machine that loses power has the
    old file or the new one too. What writing raises passes through, and then nothing is left of it;
    of a process that is killed ``.NAME.*.half`` may be.
    """
    aside = (folder or path.parent) / f".{path.name}.{uuid.uuid4().hex[:8]}.half"
    try:
        yield aside
        if durable:
            flush(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until the content of a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8, whole or not at all."""
    with replacing(path) as aside:
        aside.write_text(content, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all; TypeError where JSON has no form."""
    write_text(path, json.dumps(content, indent=2) + "\n")
