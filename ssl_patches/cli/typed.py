"""Divide what was typed after a command, and tell progress beside its results."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_patches.cli.help import ALLOWED_FLAGS
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.plain_text import tell


@dataclass(frozen=True)
class Typed:
    """What was typed after the command."""

    words: list[str]  # KEY=VALUE and plain words
    config_dirs: list[Path]
    flags: dict[str, str]  # "" where the flag takes no value

    def value(self, flag: str) -> str | None:
        """Return the value of a flag; None where it was not given."""
        return self.flags.get(flag)


def divided(command: str, rest: Sequence[str]) -> Typed:
    """Divide what was typed after a command into words, folders and flags.

    BadRequest with everything that is wrong with the flags.
    """
    words: list[str] = []
    folders: list[Path] = []
    flags: dict[str, str] = {}
    wrong: list[str] = []
    allowed = ALLOWED_FLAGS[command]
    waiting = iter(rest)
    for word in waiting:
        word = {"-m": "--multirun"}.get(word, word)
        flag, sign, value = word.partition("=")
        if not word.startswith("--"):
            words.append(word)
        elif flag not in allowed:
            near = difflib.get_close_matches(flag, allowed, n=1)
            remedy = f"did you mean {near[0]}?" if near else "see --help"
            wrong.append(f"{word}: unknown flag of {command}; {remedy}")
        elif allowed[flag] and not (value := value if sign else next(waiting, "")):
            wrong.append(f"{flag}: needs a value; give {flag} VALUE")
        elif flag == "--config-dir":
            folders.append(Path(value))
        else:
            flags[flag] = value
    if wrong:
        raise BadRequest(wrong)
    return Typed(words, folders, flags)


def told_aside(text: str) -> None:
    """Print progress to standard error: standard output is for results."""
    tell(text, sys.stderr)
