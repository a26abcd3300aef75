"""Let work go on when whoever reads its output goes away: ``pretrain 2>&1 | head``, a dead tee.

A write to a pipe that nobody reads fails, wherever in a training it happens. Here such a write is
taken for done, and what follows goes nowhere.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class _Raw(io.FileIO):
    """A file descriptor that outlives its reader."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # what FileIO takes
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes  # type: ignore[arg-type]


def outlive_readers() -> None:
    """Have standard output and error of this process go on without a reader.

    Streams that are not the process's own (a notebook's, a test's) stay as they are.
    """
    out, error = sys.__stdout__, sys.__stderr__  # None where there is none
    if out is not None and sys.stdout is out:
        sys.stdout = _enduring(out, 1)
    if error is not None and sys.stderr is error:
        sys.stderr = _enduring(error, 2)


def _enduring(stream: TextIO, number: int) -> TextIO:
    """Return a stream like ``stream`` that outlives its reader, or itself where it is none."""
    if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != number:
        return stream
    stream.flush()
    raw = _Raw(number, "w", closefd=False)
    unbuffered = isinstance(stream.buffer, io.FileIO)  # python -u
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
