"""Resolve what a composed configuration says into plain containers, and tell what cannot be.

A value such as ``${seed}`` stands for that of another key. Where there is none OmegaConf says so in
words of its own; here it becomes a problem as all others: key, value, rule, remedy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ssl_patches.config.messages import MISSING, placeholder


def about(problem: str) -> str:
    """Return the key that a problem begins with."""
    return re.split(r"[=:]", problem)[0]


def plain(node: Any, key: str, problems: list[str]) -> Any:
    """Turn OmegaConf into dict, list and scalars, with interpolations resolved.

    What cannot be resolved is added to ``problems``.
    """
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(node, DictConfig | ListConfig):
        return node
    result: dict[Any, Any] = {}
    names: Sequence[Any] = list(node) if isinstance(node, DictConfig) else range(len(node))
    for name in names:
        inner = f"{key}.{name}".lstrip(".")
        try:
            missing = OmegaConf.is_missing(node, name)
            result[name] = MISSING if missing else plain(node[name], inner, problems)
        except OmegaConfBaseException as error:
            problems.append(f"{inner}={_typed(node, name)}: {_unresolved(error, inner)}")
            continue
        if missing and inner not in map(about, problems):
            problems.append(f"{inner}: missing; give {inner}={placeholder(str(name), str)}")
    return result if isinstance(node, DictConfig) else list(result.values())


def _typed(node: Any, name: Any) -> str:
    """Return what stands at ``name`` as it was typed: not resolved."""
    from omegaconf import OmegaConf

    written: Any = OmegaConf.to_container(node, resolve=False)
    return str(written[name])


def _unresolved(error: Exception, key: str) -> str:
    """Say what ``${...}`` could not be resolved, and how a value is given in its place."""
    text = str(error).splitlines()[0]
    if found := re.match(r"Interpolation key '(.+)' not found$", text):
        text = f"${{{found[1]}}} stands for the value of a key, and there is no {found[1]}"
    elif found := re.match(r"Unsupported interpolation type (.+)$", text):
        text = f"${{{found[1]}:...}} is a resolver that OmegaConf does not have"
    return f"{text}; set {key}=VALUE, with '\\${{' in quotes where these letters are meant"
