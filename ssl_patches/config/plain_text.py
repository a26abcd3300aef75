"""Show and write names of files as what they are: bytes that may be no text, or mean something to
whoever reads them.

A folder may be called like the sequence that clears a terminal, a class like a formula of a
spreadsheet, a file in Latin-1, and an image like three lines that a command might have said. None
of them may end a command, and none may act.

The rule of lines: text that is handed to ``tell`` (or to a ``Say``) is one line, whatever names are
in it. What is more than a line says so: ``in_lines`` makes the text of several.
"""

from __future__ import annotations

import io
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TextIO

OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal or a log obeys or cannot show: control characters, ends of lines, changes of
direction, bytes that are no UTF-8."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


class Lines(str):
    """Text of several lines, of which each can be shown as it is. ``in_lines`` makes it."""

    __slots__ = ()


def printable(text: str) -> str:
    r"""Return text as one line, with everything escaped (``\x1b``, ``\n``) that a terminal would
    obey. ``Lines`` are returned as they are."""
    if isinstance(text, Lines):
        return text
    return OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def in_lines(lines: Iterable[str]) -> Lines:
    """Return text of these lines; each stays one line, whatever it holds, unless it is ``Lines``
    itself."""
    return Lines("\n".join(map(printable, lines)))


def as_listed(name: str) -> str:
    r"""Return a name of a file for a list of files: its bytes as on the disk, and what a terminal
    would obey escaped."""
    return "".join(each if "\ud800" <= each <= "\udfff" else printable(each) for each in name)


def aligned(rows: Iterable[Sequence[str]], *, rule: bool = False) -> Lines:
    """Write a table as lines, each column as wide as its widest text. ``rule``: with dashes below
    the first line."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if rule:
        cells.insert(1, ["-" * width for width in widths])
    return in_lines(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def tell(text: str, file: TextIO | None = None) -> None:
    """Print one line, or ``Lines``, to standard output or to ``file``: nothing in it can change the
    terminal or pass for another line."""
    print(printable(text), file=file, flush=True)


def escape_what_cannot_be_encoded() -> None:
    r"""Have standard output and error show what they cannot encode as ``\xfc``, for the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def traceback_of(error: BaseException) -> Lines:
    """Return the traceback of an error, whose text may hold names of files, as lines."""
    return in_lines("".join(traceback.format_exception(error)).rstrip("\n").split("\n"))


def escape_what_tracebacks_say() -> None:
    """Have errors that nobody catches told as ``traceback_of``, for the process."""
    sys.excepthook = _tell_error


def _tell_error(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    tell(traceback_of(error), file=sys.stderr)


def as_utf8(name: str) -> str:
    r"""Return a name of a file as text that every format takes; other bytes become ``\udcfc``."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def field(text: str) -> str:
    """Return text as a field of a CSV that no spreadsheet computes; numbers stay numbers."""
    begins = text.lstrip("'").startswith(FORMULA)
    return f"'{text}" if begins and not NUMBER.fullmatch(text) else text


def text_of(field: str) -> str:
    """Return the text that ``field`` made a field of."""
    return field[1:] if field[:1] == "'" and field.lstrip("'").startswith(FORMULA) else field
