"""From words typed to plain containers: find conf/, compose it, say everything that is wrong with the request.

The only importer of hydra and omegaconf, and of both only inside functions: help and completion answer without them,
and without torch. Hydra stops at the first mistake and lets others pass; here every override is judged, going on as
if the nearest name had been meant. A knob of a constructor may be set although the YAML does not list it (a value
equal to the default is not repeated there), so ``KEY=VALUE`` is enough and Hydra's ``+`` is never needed.

Trap: inside ``conf/task/x.yaml`` only ``override /sampler@_global_.sampler: tokens`` reaches the sampler (without the
package Hydra looks for ``task.sampler``), and only if sampler stands before task in the defaults of the command. The
user's ``sampler=`` wins over it, in any order, and so does an experiment's. Plain keys of an experiment win only if it
stands after ``_self_`` there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ssl_patches import conf_files
from ssl_patches.checks import check, knobs_of, live
from ssl_patches.conf_files import chosen_by_default, folders_of, groups_in, names_in, read_yaml
from ssl_patches.wording import MISSING, BadRequest, closest, nearest, placeholder, shown


@cache
def _search_path() -> Any:
    """One plugin class for the process: it cannot be taken back, but does nothing while it holds no folders."""
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
    """Hydra looks in ``folders``, in that order; a Hydra program that we may run in is left as it was."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    ours, plugin, outer = folders.index(conf_files.conf_dir()), _search_path(), GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    plugin.before, plugin.after = folders[:ours], folders[ours + 1 :]
    try:
        with initialize_config_dir(str(conf_files.conf_dir()), version_base="1.3"):
            yield
    finally:
        plugin.before = plugin.after = ()
        GlobalHydra.instance().hydra = outer


class _Composer:
    """One request: overrides are judged one by one, ``problems`` grows, and what was meant goes on to Hydra."""

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
            remedy = quoted if re.fullmatch(r"\w+([./@]\w+)*", bare) and '"' not in raw else "give KEY=VALUE"
            self.problems.append(f"{text}: cannot be read; {remedy}")
            return None
        if not bare:
            self.problems.append(f"{text}: must be KEY=VALUE; give a key")
        elif parsed.is_sweep_override():
            self.problems.append(f"{text}: must be one value; a list is '{key}=[{raw}]', for several runs add -m")
        elif re.match(r"hydra[./]", bare):
            self.problems.append(f"{text}: Hydra's own settings have no effect here; take it out (see run_dir=, --config-dir)")
        else:
            return bare, parsed.value()
        return None

    def choice(self, group: str, value: Any) -> str:
        """``GROUP=NAME`` with a name that exists: the nearest, or the default, where it does not."""
        offered, names = names_in(self.folders, group), list(value) if isinstance(value, list) else [value]
        for place, name in enumerate(names):
            text = name if isinstance(name, str) else ""
            if text and any((folder / group / f"{text}.yaml").is_file() for folder in self.folders):
                continue
            guess = closest(text, offered)
            hint = f"did you mean '{guess}'? " if guess else f"to leave it out give ~{group}; " if name is None else ""
            rule = f"must name one of conf/{group}; {hint}there are: {', '.join(offered)}"
            self.problems.append(f"{group}={shown(value)}: {rule}")
            default = chosen_by_default(self.primary).get(group)
            names[place] = guess or (default if isinstance(default, str) else offered[0])
        return f"{group}={json.dumps(names) if isinstance(value, list) else names[0]}"

    def place(self, key: str, raw: str, tree: Any) -> str | None:
        """``KEY=VALUE`` as Hydra shall see it, given what the groups compose to; None where it has no place."""
        node, parts, knob = tree, key.split("."), False  # knob: below a knob, keys are the constructor's business
        for depth, part in enumerate(parts):
            at = "".join(f"{name}." for name in parts[:depth])
            if isinstance(node, list):
                break
            if not isinstance(node, dict):
                if knob:
                    return f"++{'.'.join(parts)}={raw}"
                self.problems.append(f"{key}: '{at[:-1]}' is one value ({shown(node)}); set {at[:-1]}=VALUE")
                return None
            if part not in node:
                known = knobs_of(node) if "_target_" in node else None if knob else ()
                aside = self.schema.get(at[:-1])  # keys of a node that the program reads itself
                if known is None or part in known or ("_target_" in node and isinstance(aside, Mapping) and part in aside):
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
            self.problems.append(f"{part}: none is chosen; give {part}=NAME too (there are: {names})")
            return None
        offered = set(offered) - live(self.supplied, at[:-1])
        self.problems.append(f"{at}{part}: unknown key; {nearest(part, offered, prefix=at)}")
        return closest(part, offered)

    def hydra(self, overrides: list[str]) -> Any:
        """Composed by Hydra; what it refuses is told and dropped from ``overrides``, and the rest composed again."""
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
                culprits = {word.lstrip("+~").partition("=")[0] for word in re.findall(r"'([^']+)'", str(error))}
                kept = [text for text in overrides if text.lstrip("+~").partition("=")[0] not in culprits]
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
                added = "+" if text.startswith("+") and key not in chosen_by_default(self.primary) else ""
                choices.append(added + self.choice(key, value))
            else:
                (choices if key in self.groups else values).append(text)
        tree = OmegaConf.to_container(self.hydra(choices), resolve=False)
        placed = [text if text[0] in "+~" else self.place(*text.split("=", 1), tree) for text in values]
        return _plain(self.hydra([*choices, *filter(None, placed)]), "", self.problems)


def _told(error: Exception, composer: _Composer) -> str:
    """A refusal of Hydra in one line."""
    text, names = str(error), sorted({*chosen_by_default(composer.primary)})
    if found := re.match(r"Could not override '([^']+)'\.\s*No match in the defaults list", text):
        return f"{found[1]}: {composer.command} takes no {found[1]}=; take it out (it takes: {', '.join(names)})"
    if found := re.match(r"Could not delete from config\. '([^']+)' does not exist", text):
        return f"~{found[1]}: there is none to leave out; {nearest(found[1], composer.tops)}"
    if found := re.match(r"In '([^']+)': Could not override '(\w+)@\w+\.\2'", text):
        return f"{found[1]}.yaml: cannot override /{found[2]}; write 'override /{found[2]}@_global_.{found[2]}: NAME'"
    if missing := getattr(error, "missing_cfg_file", None):
        group, _, name = str(missing).rpartition("/")
        line = re.compile(rf"\b{re.escape(group)}\b[^:\n]*:\s*{re.escape(name)}\b")
        files = [file for folder in composer.folders for file in folder.rglob("*.yaml")]
        where = ", ".join(str(file) for file in files if line.search(file.read_text(encoding="utf-8")))
        hint = nearest(name, getattr(error, "options", None) or ())
        return f"{missing}: no such file in conf/, named in {where or 'a defaults list'}; {hint}"
    lines = [line.strip() for line in text.splitlines() if line.strip() and "https://" not in line]
    return " ".join(line for line in lines if not line.startswith("To append"))


def _about(problem: str) -> str:
    """The key that a problem is about."""
    return re.split(r"[=:]", problem)[0]


def _plain(node: Any, key: str, problems: list[str]) -> Any:
    """OmegaConf -> dict, list and scalars, interpolations resolved; what cannot be resolved is a problem."""
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(node, DictConfig | ListConfig):
        return node
    result: dict[Any, Any] = {}
    for name in node if isinstance(node, DictConfig) else range(len(node)):
        inner = f"{key}.{name}".lstrip(".")
        try:
            missing = OmegaConf.is_missing(node, name)
            result[name] = MISSING if missing else _plain(node[name], inner, problems)
        except OmegaConfBaseException as error:
            problems.append(f"{inner}: {str(error).splitlines()[0]}; set {inner}=VALUE")
            continue
        if missing and inner not in map(_about, problems):
            problems.append(f"{inner}: missing; give {inner}={placeholder(str(name), str)}")
    return result if isinstance(node, DictConfig) else list(result.values())


def compose(command: str, overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = ()) -> dict[str, Any]:
    """conf/COMMAND.yaml with the overrides, as plain containers. Raises BadRequest with all that is wrong.

    ``config_dirs``: folders of the user's own, shaped like conf/; a name that is in both is taken from there.
    """
    return _composed(_Composer(command, folders_of(config_dirs)), overrides)


def _composed(composer: _Composer, overrides: Sequence[str]) -> dict[str, Any]:
    found = composer.run(overrides)
    if composer.problems:
        raise BadRequest(composer.problems, found)
    return found


def request(command: str, overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = (), **rules: Any) -> dict[str, Any]:
    """``compose``, then ``check`` with ``rules`` (supplied, schema, allowed); the problems of both in one BadRequest."""
    composer = _Composer(command, folders_of(config_dirs), **rules)
    try:
        found = _composed(composer, overrides)
    except BadRequest as error:
        if error.guess is None:
            raise
        told = error.problems
        try:
            check(error.guess, **rules)
        except BadRequest as more:
            told = told + [problem for problem in more.problems if _about(problem) not in map(_about, told)]
        raise BadRequest(told, error.guess) from None
    return check(found, **rules)


def sweeps(overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = ()) -> list[tuple[str, list[str] | None]]:
    """Key and values of each override that stands for several in Hydra's syntax (``seed=0,1``, ``range(0,3)``,
    ``task=glob(*)``); the whole override and None for any other, also where it cannot be read: composing says so.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    folders, found = folders_of(config_dirs), []
    for text in overrides:
        try:
            parsed = OverridesParser.create().parse_override(text)
        except HydraException:
            parsed = None
        if parsed is None or not parsed.is_sweep_override():
            found.append((text, None))
        elif not parsed.is_discrete_sweep() and not hasattr(parsed.value(), "filter"):
            raise BadRequest([f"{text}: names no single values; give them one by one, {text.partition('=')[0]}=A,B"])
        elif hasattr(parsed.value(), "filter"):  # a glob over the names of a group
            group = text.partition("=")[0]
            found.append((group, parsed.value().filter(names_in(folders, group))))
        else:
            found.append((text.partition("=")[0], list(parsed.sweep_string_iterator())))
    return found


def save(cfg: Mapping[str, Any], path: Path | str) -> None:
    """Write plain containers as YAML; a reader sees the old file or the new one. Raises TypeError for live objects."""
    from omegaconf import OmegaConf

    json.dumps(cfg)  # only what can be read back without running code
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text(OmegaConf.to_yaml(OmegaConf.create(dict(cfg))), encoding="utf-8")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def load(path: Path | str) -> dict[str, Any]:
    """What ``save`` wrote. Raises BadRequest when it is not there or not readable."""
    import yaml
    from omegaconf import OmegaConf

    try:
        found = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except FileNotFoundError:
        raise BadRequest([f"{path}: no such file; give a run directory that holds config.yaml"]) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise BadRequest([f"{path}: cannot be read as YAML: {' '.join(str(error).split())}; restore the file"]) from error
    if not isinstance(found, dict):
        raise BadRequest([f"{path}: must hold KEY: VALUE lines; restore the file"])
    return found
