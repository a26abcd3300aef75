"""Turn Python keywords into the KEY=VALUE words of the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_patches.config import files as conf_files
from ssl_patches.config.messages import BadRequest, shown

Place = str | os.PathLike
"""A path as users give it."""


def data_words(data: Any) -> tuple[list[str], Mapping[str, Any] | None]:
    """Return the words for ``data=``, and the Dataset objects by split where it is one or two.

    BadRequest for an unknown split, or a path where a Dataset is due.
    """
    if data is None:
        return [], None
    if isinstance(data, str) and (
        data in conf_files.options("data") or not (os.sep in data or Path(data).is_dir())
    ):
        return [f"data={data}"], None
    if isinstance(data, str | os.PathLike):
        return ["data=folder", f"data.root={spelled(os.fspath(data))}"], None
    if isinstance(data, Mapping) and "train" not in data:
        return (["data=own"] if "_target_" in data else []) + words_of_keys(
            {"data": data}, None
        ), None
    datasets = dict(data) if isinstance(data, Mapping) else {"train": data}
    if unknown := sorted(set(datasets) - {"train", "val"}):
        raise BadRequest(
            [f"data['{unknown[0]}']: unknown split; give {{'train': DATASET, 'val': DATASET}}"]
        )
    if named := [
        split for split, value in datasets.items() if isinstance(value, str | os.PathLike)
    ]:
        raise BadRequest(
            [
                f"data['{named[0]}']: must be a Dataset object; of folders give the one that holds"
                " train and val"
            ]
        )
    name = type(datasets["train"]).__name__
    return [
        "data=own",
        "data._target_=ssl_patches.data.live.live_source",
        f"data.name={spelled(name)}",
    ], datasets


def words_of_keys(keys: Mapping[str, Any], settings: Mapping[str, Any] | None) -> list[str]:
    """Return KEY=VALUE for each key, a mapping among them as KEY.NAME=VALUE.

    BadRequest for values that are no plain data.
    """
    given: dict[str, Any] = {}
    for key, value in keys.items():
        given |= (
            {f"{key}.{name}": inner for name, inner in value.items()}
            if isinstance(value, Mapping)
            else {key: value}
        )
    given |= settings or {}
    if problems := [
        f"{key}: a setting is plain data, and this is a {_live(value)}; give a name, a number or"
        " {'_target_': 'module.Class'}"
        for key, value in given.items()
        if _live(value)
    ]:
        raise BadRequest(problems)
    return [
        f"{key}={spelled(os.fspath(value) if isinstance(value, os.PathLike) else value)}"
        for key, value in given.items()
    ]


def _live(value: Any) -> str | None:
    """Return the name of the first class found in ``value`` that is no plain data."""
    if isinstance(value, Mapping | list | tuple):
        inside = value.values() if isinstance(value, Mapping) else value
        return next(filter(None, map(_live, inside)), None)
    return (
        None if isinstance(value, str | int | float | None | os.PathLike) else type(value).__name__
    )


def spelled(value: Any) -> str:
    """Spell a value so that Hydra's grammar of overrides reads it back."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{spelled(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(spelled, value)) + "]"
    # the grammar knows letters and digits of ASCII only without quotes
    plain = isinstance(value, str) and re.fullmatch(r"[\w./+\-]+", value, re.ASCII)
    if not isinstance(value, str) or (plain and shown(value) == value):
        return shown(value)
    inside = re.sub(r'(\\*)"', r"\1\1\\" + '"', value)
    return '"' + inside + "\\" * (len(inside) - len(inside.rstrip("\\"))) + '"'
