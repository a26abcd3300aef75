"""Read files that may come from somebody else: ordinary files only, of bounded size and depth.

A downloaded run can hold a pipe that never ends where a file is expected, YAML whose aliases unfold
to billions of nodes, or JSON nested until Python's stack is full. All of these end here in an
``OSError`` or a ``ValueError``, as any other damaged file does.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

LARGEST_TEXT = 2**28  # bytes; metrics.csv of a year of training is smaller
LARGEST_YAML = 2**20
DEEPEST = 64  # levels of nesting; our own files have less than ten


def check_regular(path: Path | str) -> None:
    """Raise OSError unless ``path`` is an ordinary file: a pipe or device may never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is no ordinary file", str(path))


def read_text(path: Path | str, *, errors: str = "strict", largest: int = LARGEST_TEXT) -> str:
    """Read an ordinary file as UTF-8.

    OSError where it cannot be; ValueError where it is no UTF-8 or has more than ``largest`` bytes.
    """
    check_regular(path)
    if (size := os.path.getsize(path)) > largest:
        raise ValueError(f"{path}: has {size} bytes, at most {largest} are read")
    return Path(path).read_text(encoding="utf-8", errors=errors)


def parse_json(text: str) -> Any:
    """Parse JSON. ValueError where it is none, also where it is nested too deeply for Python."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def read_json(path: Path | str) -> Any:
    """Read an ordinary file of JSON. OSError, ValueError as ``read_text`` and ``parse_json``."""
    return parse_json(read_text(path))


def read_plain_yaml(path: Path | str, *, aliases: bool = False) -> str:
    """Read the text of a YAML file that has no aliases and is not nested too deeply.

    ``aliases``: it may have some. What the program writes has neither. OSError where it cannot be
    read, ValueError otherwise.
    """
    import yaml

    text = read_text(path, largest=LARGEST_YAML)
    depth, events = 0, 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) and not aliases:
                raise ValueError("has an alias (*NAME), which is not read here")
            events += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"is nested more than {DEEPEST} levels deep")
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if events < 3:  # begin and end of the stream
        raise ValueError("is empty")
    return text
