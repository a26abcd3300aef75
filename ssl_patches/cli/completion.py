"""Complete what is typed in a shell: names are read from YAML and sources, nothing is imported, so
the answer comes at once."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from ssl_patches.config.files import chosen_by_default, folders_of, groups_in, names_in, read_yaml


def _static_knobs(target: str) -> Iterator[str]:
    """Knobs with a default of the class or function that ``target`` names, read from its source:
    nothing is imported."""
    module, _, name = target.rpartition(".")
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    if spec is None:
        return
    roots = spec.submodule_search_locations or [(spec.origin or "").removesuffix(".py")]
    places = [Path(root, *rest) for root in roots]
    files = [
        file
        for place in places
        for file in (place.with_suffix(".py"), place / "__init__.py")
        if file.is_file()
    ]
    for node in [
        node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body
    ]:
        if getattr(node, "name", None) == name:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            for call in inner:
                if isinstance(call, ast.FunctionDef) and call.name in ("__init__", name):
                    pairs = zip(call.args.kwonlyargs, call.args.kw_defaults, strict=True)
                    yield from (knob.arg for knob, default in pairs if default is not None)


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
