"""Hydra at work for one request: every override is judged by itself, and what was meant goes on.

Hydra stops at the first mistake and lets others pass. Here ``problems`` grows, one line per
mistake, and composing goes on as if the nearest name had been meant, so that all mistakes of a
request are told at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ssl_patches.config import files as conf_files
from ssl_patches.config.check import live
from ssl_patches.config.files import chosen_by_default, groups_in, names_in, read_yaml
from ssl_patches.config.instantiate import knobs_of
from ssl_patches.config.messages import MISSING, BadRequest, closest, nearest, placeholder, shown


@cache
def _search_path() -> Any:
    """One plugin class for the process: it cannot be taken back, but does nothing while it holds no
    folders."""
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class Folders(SearchPathPlugin):
        before: Sequence[Path] = ()
        after: Sequence[Path] = ()

        def manipulate_search_path(self, search_path: Any) -> None:
            for place in self.before:
                search_path.prepend("ssl_patches", f"file://{place}", "main")
            for place in self.after:
                search_path.append("ssl_patches", f"file://{place}")

    Plugins.instance().register(Folders)
    return Folders


@contextmanager
def _hydra_in(folders: Sequence[Path]) -> Iterator[None]:
    """Hydra looks in ``folders``, in that order; a Hydra program that we may run in is left as it
    was."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    ours, plugin, outer = (
        folders.index(conf_files.conf_dir()),
        _search_path(),
        GlobalHydra.instance().hydra,
    )
    GlobalHydra.instance().clear()
    plugin.before, plugin.after = folders[:ours], folders[ours + 1 :]
    try:
        with initialize_config_dir(str(conf_files.conf_dir()), version_base="1.3"):
            yield
    finally:
        plugin.before = plugin.after = ()
        GlobalHydra.instance().hydra = outer


class Composer:
    """One request: overrides are judged one by one, ``problems`` grows, and what was meant goes on
    to Hydra."""

    def __init__(self, command: str, folders: Sequence[Path], **rules: Any) -> None:
        self.command, self.folders, self.problems = command, folders, []
        self.supplied, self.schema = rules.get("supplied") or {}, rules.get("schema") or {}
        if command not in (commands := names_in(folders)):
            raise BadRequest([f"{command}: no such command; {nearest(command, commands)}"])
        self.groups, self.primary = groups_in(folders), read_yaml(folders, command)
        self.tops = {*self.groups, *self.primary} - {"defaults"}

    def parse(self, text: str) -> tuple[str, Any] | None:
        """The key and the value of an override; None where it is no good, after saying why."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        key, sign, raw = text.partition("=")
        bare = key.lstrip("+~")
        if not sign and not key.startswith("~"):
            guess = closest(bare, self.tops) or bare
            self.problems.append(f"{text}: must be KEY=VALUE; give {guess}=VALUE")
            return None
        try:
            parsed = OverridesParser.create().parse_override(text)
        except HydraException:
            quoted = f"""quote the value: '{key}="{raw}"'"""
            remedy = (
                quoted
                if re.fullmatch(r"\w+([./@]\w+)*", bare) and '"' not in raw
                else "give KEY=VALUE"
            )
            self.problems.append(f"{text}: cannot be read; {remedy}")
            return None
        if not bare:
            self.problems.append(f"{text}: must be KEY=VALUE; give a key")
        elif parsed.is_sweep_override():
            self.problems.append(
                f"{text}: must be one value; a list is '{key}=[{raw}]', for several runs add -m"
            )
        elif re.match(r"hydra[./]", bare):
            self.problems.append(
                f"{text}: Hydra's own settings have no effect here; take it out (see run_dir=,"
                " --config-dir)"
            )
        else:
            return bare, parsed.value()
        return None

    def choice(self, group: str, value: Any) -> str:
        """``GROUP=NAME`` with a name that exists: the nearest, or the default, where it does
        not."""
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

    def place(self, key: str, raw: str, tree: Any) -> str | None:
        """``KEY=VALUE`` as Hydra shall see it, given what the groups compose to; None where it has
        no place."""
        node, parts, knob = (
            tree,
            key.split("."),
            False,
        )  # knob: below a knob, keys are the constructor's business
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
                known = knobs_of(node) if "_target_" in node else None if knob else ()
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
        return f"{'.'.join(parts)}={raw}"

    def unknown(self, at: str, part: str, offered: Collection[str]) -> str | None:
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
        """Composed by Hydra; what it refuses is told and dropped from ``overrides``, and the rest
        composed again."""
        import yaml
        from hydra import compose
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        while True:
            try:
                with _hydra_in(self.folders):
                    return compose(self.command, overrides)
            except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
                self.problems.append(_told(error, self))
                culprits = {
                    word.lstrip("+~").partition("=")[0]
                    for word in re.findall(r"'([^']+)'", str(error))
                }
                kept = [
                    text
                    for text in overrides
                    if text.lstrip("+~").partition("=")[0] not in culprits
                ]
                if len(kept) == len(overrides):
                    raise BadRequest(self.problems) from error
                overrides[:] = kept

    def run(self, overrides: Sequence[str]) -> dict[str, Any]:
        from omegaconf import OmegaConf

        choices, values = [], []
        for text in overrides:
            if (parsed := self.parse(text)) is None:
                continue
            key, value = parsed
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
                choices.append(added + self.choice(key, value))
            else:
                (choices if key in self.groups else values).append(text)
        tree = OmegaConf.to_container(self.hydra(choices), resolve=False)
        placed = [
            text if text[0] in "+~" else self.place(*text.split("=", 1), tree) for text in values
        ]
        return plain(self.hydra([*choices, *filter(None, placed)]), "", self.problems)


def _told(error: Exception, composer: Composer) -> str:
    """A refusal of Hydra in one line."""
    text, names = str(error), sorted({*chosen_by_default(composer.primary)})
    if found := re.match(r"Could not override '([^']+)'\.\s*No match in the defaults list", text):
        return (
            f"{found[1]}: {composer.command} takes no {found[1]}=; take it out (it takes:"
            f" {', '.join(names)})"
        )
    if found := re.match(r"Could not delete from config\. '([^']+)' does not exist", text):
        return f"~{found[1]}: there is none to leave out; {nearest(found[1], composer.tops)}"
    if found := re.match(r"In '([^']+)': Could not override '(\w+)@\w+\.\2'", text):
        return (
            f"{found[1]}.yaml: cannot override /{found[2]}; write 'override"
            f" /{found[2]}@_global_.{found[2]}: NAME'"
        )
    if missing := getattr(error, "missing_cfg_file", None):
        group, _, name = str(missing).rpartition("/")
        line = re.compile(rf"\b{re.escape(group)}\b[^:\n]*:\s*{re.escape(name)}\b")
        files = [file for folder in composer.folders for file in folder.rglob("*.yaml")]
        where = ", ".join(
            str(file) for file in files if line.search(file.read_text(encoding="utf-8"))
        )
        hint = nearest(name, getattr(error, "options", None) or ())
        return f"{missing}: no such file in conf/, named in {where or 'a defaults list'}; {hint}"
    lines = [line.strip() for line in text.splitlines() if line.strip() and "https://" not in line]
    return " ".join(line for line in lines if not line.startswith("To append"))


def about(problem: str) -> str:
    """The key that a problem is about."""
    return re.split(r"[=:]", problem)[0]


def plain(node: Any, key: str, problems: list[str]) -> Any:
    """OmegaConf -> dict, list and scalars, interpolations resolved; what cannot be resolved is a
    problem."""
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(node, DictConfig | ListConfig):
        return node
    result: dict[Any, Any] = {}
    for name in node if isinstance(node, DictConfig) else range(len(node)):
        inner = f"{key}.{name}".lstrip(".")
        try:
            missing = OmegaConf.is_missing(node, name)
            result[name] = MISSING if missing else plain(node[name], inner, problems)
        except OmegaConfBaseException as error:
            problems.append(f"{inner}: {str(error).splitlines()[0]}; set {inner}=VALUE")
            continue
        if missing and inner not in map(about, problems):
            problems.append(f"{inner}: missing; give {inner}={placeholder(str(name), str)}")
    return result if isinstance(node, DictConfig) else list(result.values())
