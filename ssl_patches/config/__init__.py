"""Compose words as typed on the command line into a configuration of plain containers, and name
everything that is wrong with it.

The only importer of hydra and omegaconf, and of both only inside functions: help and completion
answer without them, and without torch. Hydra stops at the first mistake and lets others pass; here
every override is judged, going on as if the nearest name had been meant. A knob of a constructor
may be set although the YAML does not list it (a value equal to the default is not repeated there),
so ``KEY=VALUE`` is enough and Hydra's ``+`` is never needed.

Trap: inside ``conf/task/x.yaml`` only ``override /sampler@_global_.sampler: tokens`` reaches the
sampler (without the package Hydra looks for ``task.sampler``), and only if sampler stands before
task in the defaults of the command. The user's ``sampler=`` wins over it, in any order, and so does
an experiment's. Plain keys of an experiment win only if it stands after ``_self_`` there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config import files as conf_files
from ssl_patches.config.callback_settings import without_absent
from ssl_patches.config.check import check
from ssl_patches.config.composer import Composer
from ssl_patches.config.files import LISTED, folders_of, names_in, read_yaml
from ssl_patches.config.instantiate import locate, signature
from ssl_patches.config.messages import BadRequest, nearest
from ssl_patches.config.renamed import with_current_names
from ssl_patches.config.resolved import about
from ssl_patches.config.saved import load, save
from ssl_patches.config.schema import LOADER, SUPPLIED
from ssl_patches.config.sweeps import sweeps

__all__ = [
    "BadRequest",
    "compose",
    "load",
    "overlaid",
    "request",
    "save",
    "sweeps",
    "without_data_keys",
]


def compose(
    command: str, overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = ()
) -> dict[str, Any]:
    """Compose conf/COMMAND.yaml with the overrides into plain containers.

    Raises BadRequest with all that is wrong.

    ``config_dirs``: folders of the user's own, shaped like conf/; a name that is in both is taken
    from there.
    """
    return _composed(Composer(command, folders_of(config_dirs)), overrides)


def _composed(composer: Composer, overrides: Sequence[str]) -> dict[str, Any]:
    found = composer.run(overrides)
    if composer.problems:
        raise BadRequest(composer.problems, found)
    return with_current_names(_with_own_nodes(without_absent(found), composer.folders))


def _with_own_nodes(found: dict[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """Put the files that lists name in the user's own folders beside those lists, under the group's
    name, since whoever opens the run later does not know the folders."""
    own = folders[: folders.index(conf_files.conf_dir())]
    for node in (found, found.get("evaluation")):
        for group, key in LISTED.items():
            if not isinstance(node, dict):
                continue
            names = node.get(key)
            nodes = {
                name: read_yaml(own, f"{group}/{name}")
                for name in names_in(own, group)
                if isinstance(names, list) and name in names
            }
            if nodes:
                node[group] = nodes
    return found


def request(
    command: str, overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = (), **rules: Any
) -> dict[str, Any]:
    """Compose as ``compose``, then ``check`` with ``rules`` (supplied, schema, allowed).

    Raises one BadRequest with the problems of both.
    """
    composer = Composer(command, folders_of(config_dirs), **rules)
    try:
        found = _composed(composer, overrides)
    except BadRequest as error:
        if error.guess is None:
            raise
        told = error.problems
        try:
            check(error.guess, typed=composer.typed, **rules)
        except BadRequest as more:
            told = told + [
                problem for problem in more.problems if about(problem) not in map(about, told)
            ]
        raise BadRequest(told, error.guess) from None
    return check(found, typed=composer.typed, **rules)


def without_data_keys(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split words into all others and those that change the data of a run: ``data.KEY=VALUE``.

    With ``data=NAME`` among them they belong to that, and there are none of the second kind.
    """
    if any(word.startswith("data=") for word in words):
        return list(words), []
    keys = [word for word in words if word.startswith("data.")]
    return [word for word in words if word not in keys], keys


def overlaid(
    data: Mapping[str, Any], words: Sequence[str], *, allowed: Sequence[str] | None = None
) -> dict[str, Any]:
    """Change the data node of a run by ``data.KEY=VALUE``. BadRequest with all that is wrong.

    ``allowed``: packages that its class may come from; None: any.
    """
    composer, found = Composer("evaluate", folders_of(())), dict(data)
    knobs = signature(locate(data["_target_"], key="data._target_", allowed=allowed))[0]
    offered = {*knobs, *LOADER} - SUPPLIED["data"]
    for text in words:
        if (parsed := composer.parse(text)) is None:
            continue
        key = parsed[0].removeprefix("data.")
        if key not in offered:
            composer.problems.append(
                f"data.{key}: unknown key of the run's data;"
                f" {nearest(key, offered, prefix='data.')}"
            )
        else:
            found[key] = parsed[1]
    if composer.problems:
        raise BadRequest(composer.problems)
    rules: dict[str, Any] = {"supplied": {"data": SUPPLIED["data"]}, "schema": {"data": LOADER}}
    return check({"data": found}, **rules, allowed=allowed)["data"]
