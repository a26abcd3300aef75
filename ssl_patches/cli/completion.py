"""Complete what is typed in a shell: names are read from YAML and sources, nothing is imported, so
the answer comes at once."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

from ssl_patches.cli.help import ALLOWED_FLAGS
from ssl_patches.config.definitions import Unreadable
from ssl_patches.config.files import (
    chosen_by_default,
    conf_dir,
    folders_of,
    groups_in,
    names_in,
    read_yaml,
)
from ssl_patches.config.plain_text import tell
from ssl_patches.config.read_source import names_with_default
from ssl_patches.config.renamed import current

COMPLETION = """\
_ssl_patches() {{
    COMPREPLY=($(ssl-patches completion words "${{COMP_WORDS[@]:1:COMP_CWORD}}"))
    [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=/}}
{before}complete -o default -F _ssl_patches ssl-patches
"""


def completion_command(
    rest: Sequence[str], commands: Collection[str], groups: Collection[str]
) -> int:
    """Print what ``eval`` sets up in a shell, or with ``words ...`` what the last may become.

    ``groups``: what ``list`` takes. Returns the exit code.
    """
    if rest[:1] == ["words"]:
        typed = list(rest[1:])
        if len(typed) <= 1:
            print("\n".join(name for name in commands if name.startswith("".join(typed))))
        elif typed[-1].startswith("-"):
            flags = [*ALLOWED_FLAGS.get(typed[0], ()), "--help"]
            print("\n".join(flag for flag in flags if flag.startswith(typed[-1])))
        elif (conf_dir() / f"{typed[0]}.yaml").is_file():  # takes settings
            print("\n".join(complete(typed)))
        elif typed[0] == "list":
            print("\n".join(name for name in groups if name.startswith(typed[-1])))
        return 0
    if rest[:1] not in (["bash"], ["zsh"]):
        tell("completion: give a shell, bash or zsh", sys.stderr)
        return 2
    print(
        COMPLETION.format(
            before="autoload -Uz bashcompinit && bashcompinit\n" if rest[0] == "zsh" else ""
        ),
        end="",
    )
    return 0


def _static_knobs(target: str) -> list[str]:
    """Return the knobs with a default of what ``target`` names; none where that is not read."""
    try:
        return names_with_default(current(target))
    except Unreadable:
        return []


def complete(words: Sequence[str], *, commands: Sequence[str] = ()) -> list[str]:
    """List what the last of ``words`` may become: those after ``ssl-patches``, the unfinished one
    included."""
    *before, last = words or [""]
    own = [after for word, after in pairwise(before) if word == "--config-dir"]
    folders = folders_of([place for place in own if Path(place).is_dir()])
    if not before:
        return sorted(name for name in commands or names_in(folders) if name.startswith(last))
    primary, groups = read_yaml(folders, before[0]), groups_in(folders)
    chosen = {group: name for group, name in chosen_by_default(primary).items() if group in groups}
    key, sign, start = last.partition("=")
    if sign:
        return (
            [f"{key}={name}" for name in names_in(folders, key) if name.startswith(start)]
            if key in chosen
            else []
        )
    group, dot, _ = key.partition(".")
    if not dot:
        names = {
            f"{name}="
            for name in [*chosen, *primary]
            if name != "defaults" and not isinstance(primary.get(name), dict)
        }
        inner = {
            f"{name}."
            for name in [*primary, *chosen]
            if isinstance(primary.get(name), dict) or name == last
        }
        return sorted(name for name in names | inner if name.startswith(last))
    chosen |= dict(word.split("=", 1) for word in before if "=" in word)
    tree = (
        primary.get(group)
        if group not in groups
        else read_yaml(folders, f"{group}/{chosen.get(group)}")
    )
    knobs = {name for name in tree or () if name not in ("_target_", "defaults")}
    knobs |= set(_static_knobs(str((tree or {}).get("_target_", ""))))
    return sorted(f"{group}.{knob}=" for knob in knobs if f"{group}.{knob}".startswith(key))
