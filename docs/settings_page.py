"""The page of all settings, made from what the program itself goes by: nothing about a key is
written twice.

Type and default of a key below a ``_target_`` come from the constructor's signature, its meaning
from the docstring: the text behind ``key``: up to the next one, and after "Why:" the reason for the
default. A docstring may lean on others: a key that it does not explain is looked up in the bases of
the class, and in a class that it is "as for". The keys of the commands themselves stand in
conf/COMMAND.yaml with a comment each, their types in schema.py.

As a Sphinx extension this fills in ``MARK`` in settings.md. The trap: a page that is written into a
file goes stale, so nothing is written; tests/docs/test_settings_page.py holds what comes out
against the signatures.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from ssl_patches.config import files as conf_files
from ssl_patches.config import schema
from ssl_patches.config.check import live
from ssl_patches.config.instantiate import locate, signature
from ssl_patches.config.messages import MISSING, describe, shown

MARK = "<!-- all settings -->"
COMMANDS = {
    "pretrain": "PRETRAIN",
    "evaluate": "EVALUATE",
    "embed": "EMBED",
    "duplicates": "DUPLICATES",
    "view": "VIEW",
    "export": "EXPORT",
    "push": "PUSH",
    "doctor": "DOCTOR",
    "pack": "PACK",
}
GROUPS = (
    "task",
    "sampler",
    "encoder",
    "data",
    "views",
    "spread",
    "optimizer",
    "trainer",
    "callbacks",
    "logger",
    "experiment",
)
OWN = "???"  # the _target_ of a node that the user names
REQUIRED = inspect.Parameter.empty
ENTRY = re.compile(r"(?:^|(?<=[.;:,]\s))((?:``\w+``, )*``\w+``): ")


@dataclass(frozen=True)
class Key:
    """One setting as it is typed, ``task.mask_ratio``."""

    name: str
    annotation: Any
    default: Any  # REQUIRED: there is none
    meaning: str
    why: str


@dataclass(frozen=True)
class Choice:
    """One YAML of a group: ``task=masked``."""

    name: str
    about: str
    sets: dict[str, Any]  # dotted key -> value, where it is not the constructor's default
    targets: dict[str, str]  # dotted place -> _target_


def entries(text: str) -> dict[str, tuple[str, str]]:
    """Key -> (meaning, why) of a docstring: what stands behind ``key``: or ``key``, ``other``: up
    to the next."""
    text = " ".join((text or "").split())
    found = list(ENTRY.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)] * bool(found)
    explained = {}
    for match, end in zip(found, ends, strict=True):
        meaning, _, why = text[match.end() : end].strip().rstrip(";,").partition("Why: ")
        for name in re.findall(r"\w+", match[1]):
            explained[name] = (meaning.strip(), why.strip())
    return explained


@cache
def explained(target: Any) -> dict[str, tuple[str, str]]:
    """The same of a class or function, with what its bases say, and what it says to be "as for"."""
    text = " ".join((inspect.getdoc(target) or "").split())
    found, module = entries(text), inspect.getmodule(target)
    package = module.__name__.rpartition(".")[0]
    space = {**(vars(importlib.import_module(package)) if package else {}), **vars(module)}
    others = [space[name] for name in re.findall(r"as for ``(\w+)``", text) if name in space]
    bases = [
        base
        for base in getattr(target, "__mro__", ())[1:]
        if base.__module__.startswith("ssl_patches")
    ]
    for other in [*others, *bases]:
        for name, said in explained(other).items():
            if not found.get(name, ("",))[0] or found[name][0].startswith("as for "):
                found[name] = said
    return found


def keys_of(path: str, place: str) -> list[Key]:
    """The settings of a ``_target_`` at ``place`` of the configuration, without those that the
    program derives."""
    target = locate(path)
    said, knobs = explained(target), signature(target)[0]
    derived = live(schema.SUPPLIED, place) | (set(schema.LOADER) if place == "data" else set())
    return [
        Key(f"{place}.{name}", knob.annotation, knob.default, *said.get(name, ("", "")))
        for name, knob in knobs.items()
        if name not in derived
    ]


def loader_keys() -> list[Key]:
    """Keys of the data group that the program reads itself: their docstring is that of
    ``schema.LOADER``."""
    said = entries(_docstring_of("LOADER"))
    conf = yaml.safe_load(
        (conf_files.conf_dir() / "data" / "folder.yaml").read_text(encoding="utf-8")
    )
    built_in = {"channels": 3, "statistics": "imagenet"}
    return [
        Key(f"data.{name}", kind, conf.get(name, built_in.get(name)), *said.get(name, ("", "")))
        for name, kind in schema.LOADER.items()
    ]


def _docstring_of(name: str) -> str:
    """The string that stands behind an assignment in schema.py."""
    body = ast.parse(inspect.getsource(schema)).body
    for statement, after in pairwise(body):
        if (
            isinstance(statement, ast.Assign)
            and statement.targets[0].id == name
            and isinstance(after, ast.Expr)
        ):
            return after.value.value
    return ""


@cache
def choices(group: str) -> list[Choice]:
    """What ``GROUP=`` takes, from the YAML files."""
    about = dict(conf_files.with_comments(group))
    return [Choice(name, about[name], *_content(group, name)) for name in conf_files.options(group)]


def _content(group: str, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    tree = (
        yaml.safe_load((conf_files.conf_dir() / group / f"{name}.yaml").read_text(encoding="utf-8"))
        or {}
    )
    sets, targets = {}, {}
    for base in tree.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            inherited = _content(group, base)
            sets |= inherited[0]
            targets |= inherited[1]
        elif isinstance(base, Mapping):
            sets |= {
                key.removeprefix("override /").partition("@")[0]: value
                for key, value in base.items()
            }
    own = {} if group == "experiment" else targets
    for key, value in _leaves(tree, "" if group == "experiment" else f"{group}."):
        if key.endswith("._target_"):
            own[key.removesuffix("._target_")] = value
        elif value != MISSING:
            sets[key] = value
    return sets, targets


def _leaves(tree: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and ("_target_" in value or at == ""):
            yield from _leaves(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def command_keys(command: str) -> list[Key]:
    """Keys of conf/COMMAND.yaml that belong to no group, each explained by the comment on its line
    or above it."""
    text = (conf_files.conf_dir() / f"{command}.yaml").read_text(encoding="utf-8")
    comments = _comments(text)
    types = getattr(schema, COMMANDS[command])
    found = []
    for key, value in _flat(yaml.safe_load(text), ""):
        kind = types
        for part in key.split("."):
            kind = kind.get(part, Any) if isinstance(kind, Mapping) else Any
        meaning, _, why = comments.get(key, "").partition("Why: ")
        found.append(
            Key(key, kind, REQUIRED if value == MISSING else value, meaning.strip(), why.strip())
        )
    return found


def _flat(tree: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{key}.")
        elif key != "defaults":
            yield f"{at}{key}", value


def _comments(text: str) -> dict[str, str]:
    """Dotted key -> the comment lines directly above it and the comment on its line, as one
    text."""
    lines, found = text.splitlines(), {}

    def walk(node: yaml.MappingNode, at: str) -> None:
        for key, value in node.value:
            line = key.start_mark.line
            above = line
            while above > 1 and lines[above - 1].lstrip().startswith("#"):
                above -= 1
            said = [part.strip().lstrip("# ") for part in lines[above:line]]
            said += re.findall(r" # (.*)$", lines[line])
            found[f"{at}{key.value}"] = " ".join(said)
            if isinstance(value, yaml.MappingNode):
                walk(value, f"{at}{key.value}.")

    walk(yaml.compose(text), "")
    return found


def part_keys() -> list[Key]:
    """What a mixture adds: the keys of each part."""
    said = entries(
        inspect.getdoc(inspect.getmodule(locate("ssl_patches.config.mixture.nodes"))) or ""
    )
    return [Key("parts.NAME.weight", float, 1.0, *said.get("weight", ("", "")))]


def page_keys() -> list[Key]:
    """Every setting there is, as the page has them."""
    found = (
        [key for command in COMMANDS for key in command_keys(command)] + part_keys() + loader_keys()
    )
    for group in GROUPS:
        for place, path in _targets(group):
            found += [] if path == OWN else keys_of(path, place)
    return found


def _targets(group: str) -> list[tuple[str, str]]:
    """(place, ``_target_``) in a group, each pair once."""
    pairs = [(place, path) for choice in choices(group) for place, path in choice.targets.items()]
    return list(dict.fromkeys(pairs))


def page() -> str:
    """The page as MyST Markdown."""
    parts = ["## The run\n", *map(_entry, command_keys("pretrain"))]
    for group in GROUPS:
        parts += _group(group)
    parts += ["## Parts of a mixture\n", *map(_entry, part_keys())]
    for command in [name for name in COMMANDS if name != "pretrain"]:
        parts += [
            f"## `ssl-patches {command}`\n",
            *(_entry(key, command=command) for key in command_keys(command)),
        ]
    return "\n".join(parts)


def _group(group: str) -> list[str]:
    offered = choices(group)
    parts = [f"## `{group}=`\n", "| choice | what it is | sets |", "| --- | --- | --- |"]
    for choice in offered:
        sets = ", ".join(f"`{key}={_typed(value)}`" for key, value in choice.sets.items())
        parts.append(f"| `{group}={choice.name}` | {_plain(choice.about)} | {sets} |")
    parts.append("")
    if group == "data":
        parts += ["### Every source\n", *map(_entry, loader_keys())]
    for place, path in _targets(group):
        of = [choice.name for choice in offered if choice.targets.get(place) == path]
        if path == OWN:
            parts += [
                f"### `{group}={of[0]}`\n",
                _entry(Key(f"{place}._target_", str, REQUIRED, OWN_TARGET, "")),
            ]
            continue
        keys = keys_of(path, place)
        if not keys:
            continue
        several = len(_targets(group)) > 1
        title = f"{path.rpartition('.')[2]}" + (
            f", in `{group}={'`, `'.join(of)}`" if several else ""
        )
        parts += [f"### {title}\n", *(_entry(key, among=path.rpartition(".")[2]) for key in keys)]
    return parts


OWN_TARGET = (
    "A map-style `Dataset` of your own, `module.Class`; any other key below `data` goes to its"
    " constructor."
)


def _entry(key: Key, *, command: str = "pretrain", among: str = "") -> str:
    anchor = re.sub(
        r"\W+", "-", f"{command if command != 'pretrain' else 'set'}-{among}-{key.name}".lower()
    ).replace("--", "-")
    default = "required" if key.default is REQUIRED else f"default `{_typed(key.default)}`"
    said = _sentence(key.meaning)
    why = f"\n  *Why:* {_sentence(key.why)}" if key.why else ""
    return f"({anchor})=\n`{key.name}` · {_kind(key.annotation)} · {default}\n: {said}{why}\n"


def _sentence(text: str) -> str:
    return _plain(text[:1].upper() + text[1:].rstrip(".") + ".")


def _kind(annotation: Any) -> str:
    """A type in the words of the error messages."""
    if said := describe(annotation):
        parts = typing.get_args(annotation)
        nodes = [
            part.__name__
            for part in parts
            if isinstance(part, type) and part.__module__.startswith("ssl_patches")
        ]
        return " or ".join([*(f"a `{node}`" for node in nodes), said])
    return (
        "anything"
        if annotation in (Any, REQUIRED)
        else f"a `{getattr(annotation, '__name__', annotation)}`"
    )


def _typed(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return shown(list(value) if isinstance(value, tuple) else value).replace("|", r"\|")


def _plain(text: str) -> str:
    """Text of a docstring as Markdown: ``code`` stays code, signs of Markdown outside of it are
    taken literally."""
    pieces = re.split(r"(``.*?``|`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([*_<\[|])", r"\\\1", piece)
        for piece in pieces
    )


def _fill(app: Any, name: str, source: list[str]) -> None:
    if name == "settings":
        source[0] = source[0].replace(MARK, page())


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", _fill)
    # it changes with the package, not with settings.md
    app.connect("env-get-outdated", lambda app, env, *_: sorted({"settings"} & env.found_docs))
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    print(Path(__file__).with_name("settings.md").read_text(encoding="utf-8").replace(MARK, page()))
