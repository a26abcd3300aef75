"""Show and write names of files as what they are: bytes that may be no text, or mean something to
whoever reads them.

A folder may be called like the sequence that clears a terminal, a class like a formula of a
spreadsheet, a file in Latin-1. None of them may end a command, and none may act.
"""

from __future__ import annotations

import io
import re
import sys
from typing import TextIO

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys or cannot show: control characters but tab and newline, changes of
direction, bytes that are no UTF-8."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def printable(text: str) -> str:
    r"""Return text with everything escaped (``\x1b``) that a terminal would obey."""
    return OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def tell(text: str, file: TextIO | None = None) -> None:
    """Print to standard output, or to ``file``, what cannot change the terminal."""
    print(printable(text), file=file, flush=True)


def escape_what_cannot_be_encoded() -> None:
    r"""Have standard output and error show what they cannot encode as ``\xfc``, for the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


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
