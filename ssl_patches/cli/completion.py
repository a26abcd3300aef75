"""Complete what is typed in a shell: names are read from YAML and sources, nothing is imported, so
the answer comes at once."""

from __future__ import annotations

from collections.abc import Sequence
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
from ssl_patches.config.read_source import names_with_default
from ssl_patches.config.renamed import current

BASH = """\
_ssl_patches() {
    COMPREPLY=($(ssl-patches completion words "${COMP_WORDS[@]:1:COMP_CWORD}"))
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
complete -o default -F _ssl_patches ssl-patches
"""
ZSH = BASH.replace("complete -o def", "autoload -Uz bashcompinit && bashcompinit\ncomplete -o def")
SHELLS = {"bash": BASH, "zsh": ZSH}
"""Shell -> what it evaluates to complete our words."""


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


def answers(typed: Sequence[str], *, commands: Sequence[str], groups: Sequence[str]) -> list[str]:
    """List what the last of ``typed`` may become, whatever it is: a command, a flag, a setting, or
    a group of ``list``."""
    last = typed[-1] if typed else ""
    if len(typed) <= 1:
        return [name for name in commands if name.startswith(last)]
    if last.startswith("-"):
        flags = [*ALLOWED_FLAGS.get(typed[0], ()), "--help"]
        return [flag for flag in flags if flag.startswith(last)]
    if (conf_dir() / f"{typed[0]}.yaml").is_file():  # takes settings
        return complete(typed)
    return [name for name in groups if name.startswith(last)] if typed[0] == "list" else []
