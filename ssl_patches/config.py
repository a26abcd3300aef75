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

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ssl_patches.checks import MISSING, BadRequest, build, check, closest, knobs_of, live, nearest, placeholder, shown

__all__ = [
    "BadRequest", "build", "check", "complete", "compose", "conf_dir", "described", "load", "nearest", "options",
    "request", "save",
]  # fmt: skip


def conf_dir() -> Path:
    """The wheel's copy of conf/, or the checkout's own."""
    here = Path(__file__).resolve().parent
    for place in (here / "conf", here.parent / "conf"):
        if (place / "pretrain.yaml").is_file():
            return place
    raise FileNotFoundError(f"no conf/pretrain.yaml in or beside {here}: the installation is incomplete; reinstall")


def _folders(config_dirs: Sequence[Path | str] = ()) -> list[Path]:
    """Where YAML is looked for, first match wins: the user's own, ours, those of installed packages."""
    own = [Path(place).resolve() for place in config_dirs]
    if lost := [place for place in own if not place.is_dir()]:
        raise BadRequest([f"--config-dir {place}: no such folder; give one that holds task/NAME.yaml" for place in lost])
    others = []
    for entry in sorted(importlib.metadata.entry_points(group="ssl_patches.conf"), key=lambda entry: entry.name):
        top, *rest = entry.value.split(".")
        spec = importlib.util.find_spec(top)  # of the top package only: that imports nothing
        others += [Path(place, *rest) for place in (spec and spec.submodule_search_locations) or ()]
    return [*own, conf_dir(), *others]


def _groups(folders: Sequence[Path]) -> set[str]:
    inner = {place for folder in folders for place in folder.iterdir() if place.is_dir() and place.name != "hydra"}
    return {place.name for place in inner if any(place.glob("*.yaml"))}


def _names(folders: Sequence[Path], group: str = "") -> list[str]:
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def options(group: str, *, config_dirs: Sequence[Path | str] = ()) -> list[str]:
    """The names that ``GROUP=`` takes, those of ``config_dirs`` and of installed packages included."""
    return _names(_folders(config_dirs), group)


def described(group: str, *, config_dirs: Sequence[Path | str] = ()) -> list[tuple[str, str]]:
    """The same names, each with the comment that its file begins with, or nothing."""
    folders, found = _folders(config_dirs), []
    for name in _names(folders, group):
        file = next(file for folder in folders if (file := folder / group / f"{name}.yaml").is_file())
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
        found.append((name, lines[0].lstrip("# ").strip() if lines and lines[0].startswith("#") else ""))
    return found


def _read(folders: Sequence[Path], name: str) -> dict[str, Any]:
    """One YAML as it stands, not composed; empty where there is none or it cannot be read (Hydra will say)."""
    import yaml

    for folder in folders:
        if (file := folder / f"{name}.yaml").is_file():
            try:
                found = yaml.safe_load(file.read_text(encoding="utf-8"))
            except yaml.YAMLError:
                break
            return found if isinstance(found, dict) else {}
    return {}


def _defaults(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Group -> chosen name, from a command's defaults list."""
    lines = [line for line in tree.get("defaults") or [] if isinstance(line, dict)]
    return {str(group).removeprefix("optional ").strip(): name for line in lines for group, name in line.items()}


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

    ours, plugin, outer = folders.index(conf_dir()), _search_path(), GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    plugin.before, plugin.after = folders[:ours], folders[ours + 1 :]
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            yield
    finally:
        plugin.before = plugin.after = ()
        GlobalHydra.instance().hydra = outer


class _Composer:
    """One request: overrides are judged one by one, ``problems`` grows, and what was meant goes on to Hydra."""

    def __init__(self, command: str, folders: Sequence[Path], **rules: Any) -> None:
        self.command, self.folders, self.problems = command, folders, []
        self.supplied, self.schema = rules.get("supplied") or {}, rules.get("schema") or {}
        if command not in (commands := _names(folders)):
            raise BadRequest([f"{command}: no such command; {nearest(command, commands)}"])
        self.groups, self.primary = _groups(folders), _read(folders, command)
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
            self.problems.append(f"{text}: must be one value; a list is '{key}=[{raw}]', several runs are a study")
        elif re.match(r"hydra[./]", bare):
            self.problems.append(f"{text}: Hydra's own settings have no effect here; take it out (see run_dir=, --config-dir)")
        else:
            return bare, parsed.value()
        return None

    def choice(self, group: str, value: Any) -> str:
        """``GROUP=NAME`` with a name that exists: the nearest, or the default, where it does not."""
        offered, names = _names(self.folders, group), list(value) if isinstance(value, list) else [value]
        for place, name in enumerate(names):
            text = name if isinstance(name, str) else ""
            if text and any((folder / group / f"{text}.yaml").is_file() for folder in self.folders):
                continue
            guess = closest(text, offered)
            hint = f"did you mean '{guess}'? " if guess else f"to leave it out give ~{group}; " if name is None else ""
            rule = f"must name one of conf/{group}; {hint}there are: {', '.join(offered)}"
            self.problems.append(f"{group}={shown(value)}: {rule}")
            default = _defaults(self.primary).get(group)
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
            names = ", ".join(_names(self.folders, part))
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
                added = "+" if text.startswith("+") and key not in _defaults(self.primary) else ""
                choices.append(added + self.choice(key, value))
            else:
                (choices if key in self.groups else values).append(text)
        tree = OmegaConf.to_container(self.hydra(choices), resolve=False)
        placed = [text if text[0] in "+~" else self.place(*text.split("=", 1), tree) for text in values]
        return _plain(self.hydra([*choices, *filter(None, placed)]), "", self.problems)


def _told(error: Exception, composer: _Composer) -> str:
    """A refusal of Hydra in one line."""
    text, names = str(error), sorted({*_defaults(composer.primary)})
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
    return _composed(_Composer(command, _folders(config_dirs)), overrides)


def _composed(composer: _Composer, overrides: Sequence[str]) -> dict[str, Any]:
    found = composer.run(overrides)
    if composer.problems:
        raise BadRequest(composer.problems, found)
    return found


def request(command: str, overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = (), **rules: Any) -> dict[str, Any]:
    """``compose``, then ``check`` with ``rules`` (supplied, schema, allowed); the problems of both in one BadRequest."""
    composer = _Composer(command, _folders(config_dirs), **rules)
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


def _static_knobs(target: str) -> Iterator[str]:
    """Knobs with a default of the class or function that ``target`` names, read from its source: nothing is imported."""
    module, _, name = target.rpartition(".")
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    places = [Path(place, *rest) for place in (spec and (spec.submodule_search_locations or [spec.origin[:-3]])) or ()]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    for node in [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]:
        if getattr(node, "name", None) == name:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            for call in inner:
                if isinstance(call, ast.FunctionDef) and call.name in ("__init__", name):
                    pairs = zip(call.args.kwonlyargs, call.args.kw_defaults, strict=True)
                    yield from (knob.arg for knob, default in pairs if default is not None)


def complete(words: Sequence[str], *, commands: Sequence[str] = ()) -> list[str]:
    """What the last of ``words`` (those after ``ssl-patches``, the unfinished one included) may become."""
    *before, last = words or [""]
    own = [after for word, after in pairwise(before) if word == "--config-dir"]
    folders = _folders([place for place in own if Path(place).is_dir()])
    if not before:
        return sorted(name for name in (commands or _names(folders)) if name.startswith(last))
    primary, groups = _read(folders, before[0]), _groups(folders)
    chosen = {group: name for group, name in _defaults(primary).items() if group in groups}
    key, sign, start = last.partition("=")
    if sign:
        return [f"{key}={name}" for name in _names(folders, key) if name.startswith(start)] if key in chosen else []
    group, dot, _ = key.partition(".")
    if not dot:
        names = {f"{name}=" for name in [*chosen, *primary] if name != "defaults" and not isinstance(primary.get(name), dict)}
        inner = {f"{name}." for name in [*primary, *chosen] if isinstance(primary.get(name), dict) or name == last}
        return sorted(name for name in names | inner if name.startswith(last))
    chosen |= dict(word.split("=", 1) for word in before if "=" in word)
    tree = primary.get(group) if group not in groups else _read(folders, f"{group}/{chosen.get(group)}")
    knobs = {name for name in tree or () if name not in ("_target_", "defaults")}
    knobs |= set(_static_knobs(str((tree or {}).get("_target_", ""))))
    return sorted(f"{group}.{knob}=" for knob in knobs if f"{group}.{knob}".startswith(key))
