"""Compose one request with Hydra: every override is judged by itself, and what was meant goes on.

Hydra stops at the first mistake and lets others pass. Here ``problems`` grows, one line per
mistake, and composing goes on as if the nearest name had been meant, so that all mistakes of a
request are told at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config.check import live
from ssl_patches.config.files import chosen_by_default, groups_in, names_in, read_yaml
from ssl_patches.config.hydra_compose import composed, with_values
from ssl_patches.config.hydra_refusals import refusal, without_refused
from ssl_patches.config.hydra_words import of_hydra, our_word
from ssl_patches.config.instantiate import knobs_of
from ssl_patches.config.messages import (
    BadRequest,
    closest,
    nearest,
    shown,
    typed,
)
from ssl_patches.config.resolved import plain
from ssl_patches.config.sweeps import parse_override

SEVERAL = {"logger"}
"""Groups of which several may be chosen at once, ``logger=[wandb,tensorboard]``."""


class Composer:
    """One request for a command: judges overrides one by one and gives what was meant to Hydra.

    ``folders``: where YAML is looked for; ``rules``: ``supplied``, ``schema`` and ``allowed`` as
    for ``check``. ``problems`` has a line for each mistake. BadRequest where there is no such
    command.
    """

    def __init__(self, command: str, folders: Sequence[Path], **rules: Any) -> None:
        self.command, self.folders = command, folders
        self.problems: list[str] = []
        self.typed: dict[str, str] = {}  # key -> the value as it was typed
        self.supplied, self.schema = rules.get("supplied") or {}, rules.get("schema") or {}
        self.allowed: Sequence[str] | None = rules.get("allowed")
        if command not in (commands := names_in(folders)):
            raise BadRequest([f"{command}: no such command; {nearest(command, commands)}"])
        self.groups, self.primary = groups_in(folders), read_yaml(folders, command)
        self.tops = {*self.groups, *self.primary} - {"defaults"}

    def parse(self, text: str) -> tuple[str, Any] | None:
        """Return the key and the value of an override; None, and a problem, where it is no good."""
        key, sign, raw = text.partition("=")
        bare = key.lstrip("+~")
        if of_hydra(bare):
            self.problems.append(our_word(text))
            return None
        if not sign and not key.startswith("~"):
            guess = closest(bare, self.tops) or bare
            self.problems.append(f"{text}: must be KEY=VALUE; give {guess}=VALUE")
            return None
        if (parsed := parse_override(quoted(text))) is None:
            known = re.fullmatch(r"\w+([./@]\w+)*", bare)
            remedy = f"quote the value: {typed(key, raw)}" if known else "give KEY=VALUE"
            self.problems.append(f"{text}: cannot be read; {remedy}")
            return None
        if not bare:
            self.problems.append(f"{text}: must be KEY=VALUE; give a key")
        elif parsed.is_sweep_override():
            number = re.fullmatch(r"[\d.,+eE-]+", raw)
            name = "" if number else f"a name with a comma is {typed(key, raw)}, "
            self.problems.append(
                f"{text}: must be one value; {name}a list is '{key}=[{raw}]', for several runs add"
                " -m"
            )
        else:
            self.typed[bare] = raw
            return bare, parsed.value()
        return None

    def choice(self, group: str, value: Any) -> str:
        """Return ``GROUP=NAME`` with a name that exists.

        Where it does not that is a problem, and the nearest or the default is taken.
        """
        offered, names = (
            names_in(self.folders, group),
            list(value) if isinstance(value, list) else [value],
        )
        for place, name in enumerate(names):
            text = name if isinstance(name, str) else ""
            if text and any((folder / group / f"{text}.yaml").is_file() for folder in self.folders):
                continue
            guess = closest(text, offered)
            hint = (
                f"did you mean '{guess}'? "
                if guess
                else f"to leave it out give ~{group}; "
                if name is None
                else ""
            )
            rule = f"must name one of conf/{group}; {hint}there are: {', '.join(offered)}"
            self.problems.append(f"{group}={shown(value)}: {rule}")
            default = chosen_by_default(self.primary).get(group)
            names[place] = guess or (default if isinstance(default, str) else offered[0])
        return f"{group}={json.dumps(names) if isinstance(value, list) else names[0]}"

    def each(self, choice: str) -> list[str]:
        """Return the words for Hydra of ``GROUP=NAME``, or of ``GROUP=["NAME","NAME"]``.

        Several stand side by side, each below its name (``logger.wandb.project=``).
        """
        group, _, names = choice.partition("=")
        if not names.startswith("["):
            return [choice]
        each = dict.fromkeys(json.loads(names))
        none = chosen_by_default(self.primary).get(group)
        own = [f"{group}={none}"] if none else []  # or an experiment's choice is mixed with these
        return own + [f"+{group}@{group}.{name}={name}" for name in each if name != none]

    def place(self, key: str, raw: str, tree: Any) -> str | None:
        """Return ``KEY=VALUE`` as Hydra shall see it, given what the groups compose to.

        None, and a problem, where the tree has no such key.
        """
        node, parts = tree, key.split(".")
        knob = False  # below a knob, keys are the constructor's business
        for depth, part in enumerate(parts):
            at = "".join(f"{name}." for name in parts[:depth])
            if isinstance(node, list):
                break
            if not isinstance(node, dict):
                if knob:
                    return f"++{'.'.join(parts)}={raw}"
                self.problems.append(
                    f"{key}: '{at[:-1]}' is one value ({shown(node)}); set {at[:-1]}=VALUE"
                )
                return None
            if part not in node:
                known = knobs_of(node, self.allowed) if "_target_" in node else None if knob else ()
                aside = self.schema.get(at[:-1])  # keys of a node that the program reads itself
                if (
                    known is None
                    or part in known
                    or ("_target_" in node and isinstance(aside, Mapping) and part in aside)
                ):
                    return f"++{'.'.join(parts)}={raw}"
                if not (guess := self.unknown(at, part, {*node, *known} - {"_target_"})):
                    return None
                parts[depth] = part = guess
                if part not in node:
                    return f"++{'.'.join(parts)}={raw}"
            knob, node = knob or "_target_" in node, node[part]
        # a mapping that a constructor takes: what is typed joins it, whatever its keys are
        added = "++" if knob and isinstance(node, dict) and raw.lstrip().startswith("{") else ""
        return f"{added}{'.'.join(parts)}={raw}"

    def unknown(self, at: str, part: str, offered: Collection[str]) -> str | None:
        """Note an unknown key ``part`` below ``at``; return the one that was probably meant."""
        if not at and part in self.groups:
            names = ", ".join(names_in(self.folders, part))
            self.problems.append(
                f"{part}: none is chosen; give {part}=NAME too (there are: {names})"
            )
            return None
        offered = set(offered) - live(self.supplied, at[:-1])
        self.problems.append(f"{at}{part}: unknown key; {nearest(part, offered, prefix=at)}")
        return closest(part, offered)

    def hydra(self, overrides: list[str]) -> Any:
        """Let Hydra compose ``overrides``, without those that it refuses: each is a problem.

        BadRequest where it refuses something else than an override.
        """
        import yaml
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        while True:
            try:
                return composed(self.command, self.folders, overrides)
            except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
                self.problems.append(
                    refusal(
                        error,
                        command=self.command,
                        primary=self.primary,
                        tops=self.tops,
                        folders=self.folders,
                    )
                )
                kept = without_refused(overrides, error)
                if len(kept) == len(overrides):
                    raise BadRequest(self.problems) from error
                overrides[:] = kept

    def valued(self, choices: list[str], values: list[str]) -> Any:
        """Return what Hydra composes of choices of files and of values. Raises as ``hydra``.

        Values are set in what the choices compose to; where one cannot be, Hydra says why.
        """
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        try:
            return with_values(composed(self.command, self.folders, choices), values)
        except (HydraException, OmegaConfBaseException, ValueError):
            return self.hydra([*choices, *values])

    def run(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the composed configuration as plain containers; see ``problems`` afterwards."""
        from omegaconf import OmegaConf

        choices: list[str] = []
        values: list[str] = []
        for text in overrides:
            if (parsed := self.parse(text)) is None:
                continue
            key, value = parsed
            text = quoted(text)
            if "." not in key and key not in self.tops:
                guess = closest(key, self.tops)
                if guess in self.groups and text.startswith(key):
                    self.problems.append(f"{text}: unknown key; did you mean '{guess}'?")
                    key = guess
            if key in self.groups and not text.startswith("~"):
                added = (
                    "+"
                    if text.startswith("+") and key not in chosen_by_default(self.primary)
                    else ""
                )
                choice = self.choice(key, value)
                choices += self.each(choice) if key in SEVERAL else [added + choice]
            else:
                (choices if key in self.groups else values).append(text)
        tree = OmegaConf.to_container(self.hydra(choices), resolve=False)
        placed = []
        for text in values:
            key, _, raw = text.partition("=")
            placed.append(text if text[0] in "+~" else self.place(key, raw, tree))
        return plain(self.valued(choices, [*filter(None, placed)]), "", self.problems)


def quoted(text: str) -> str:
    """Quote a value with letters beyond ASCII for Hydra, whose grammar knows no others unquoted.

    What holds signs of the grammar (lists, quotes, interpolations) stays as it is.
    """
    key, sign, raw = text.partition("=")
    if not sign or raw.isascii() or re.search(r"[\s'\"\\{}\[\](),:=$]", raw):
        return text
    return f'{key}="{raw}"'
