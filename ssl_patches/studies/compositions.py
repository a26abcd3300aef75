"""Compose the configurations of a study's runs, which mostly differ in seed and budget only.

Composing takes a fifth of a second. Where two compositions have shown that nothing else follows
from the seed and the budget, these are filled in. What is filled in must be what composing gives
to the letter, 64 and not 64.0: the key of a run is the hash of it, and a run is found by its key.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED

PLAIN = re.compile(r"seed=\d+|budget\.\w+=(?:null|\d+(?:\.\d*)?(?:e[+-]?\d+)?)")
"""A seed or a budget, as it is typed."""


class Compositions:
    """Composes and checks what words say. ``allowed``: the ``_target_``s that may be named; None:
    any."""

    def __init__(
        self, config_dirs: Sequence[Path | str], allowed: Sequence[str] | None = None
    ) -> None:
        self.config_dirs, self.allowed = config_dirs, allowed
        self._composed: dict[tuple[str, ...], tuple[dict[str, str], dict[str, Any]]] = {}
        self._independent: set[tuple[tuple[str, ...], frozenset[str]]] = set()

    def __call__(self, words: Sequence[str]) -> dict[str, Any]:
        """Return the configuration of ``words``. BadRequest with what is wrong."""
        plain = dict(word.split("=", 1) for word in words if PLAIN.fullmatch(word))
        others = tuple(word for word in words if not PLAIN.fullmatch(word))
        if others not in self._composed:
            self._composed[others] = (plain, self._compose(words))
            return copy.deepcopy(self._composed[others][1])
        before, cfg = self._composed[others]
        if {key: _form(value) for key, value in plain.items()} != {
            key: _form(value) for key, value in before.items()
        }:
            return self._compose(words)
        changed = frozenset(key for key in plain if plain[key] != before[key])
        filled = _filled_in(cfg, plain)
        shown = (_files_and_references(others), changed)
        if shown not in self._independent:
            composed = self._compose(words)
            if json.dumps(composed, sort_keys=True) != json.dumps(filled, sort_keys=True):
                return composed
            self._independent.add(shown)
        return filled

    def _compose(self, words: Sequence[str]) -> dict[str, Any]:
        cfg = mixture.request(
            words,
            config_dirs=self.config_dirs,
            supplied=SUPPLIED,
            schema=PRETRAIN,
            allowed=self.allowed,
        )
        if self.allowed is not None and cfg["data"].get("download"):
            raise ValueError(
                "data.download=true: a dry run of a study fetches nothing; take it out, or fetch"
                " the images before"
            )
        return cfg


def with_budget_as_before(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``cfg`` as it was for all runs of a study but the first: amounts as 64.0, not 64.

    Such runs are kept under the key that follows from it.
    """
    amounts = {
        key: None if amount is None else float(amount) for key, amount in cfg["budget"].items()
    }
    return {**cfg, "budget": amounts}


def _form(value: str) -> str:
    """Tell how a value is typed: from other forms other types may follow."""
    if value == "null":
        return value
    whole = float(value).is_integer()
    return "digits" if value.isdigit() else "whole" if whole else "number"


def _files_and_references(words: Sequence[str]) -> tuple[str, ...]:
    """Words that choose YAML files, or refer to other keys: what else follows from a key is
    there."""
    return tuple(
        word
        for word in words
        if "$" in word or "." not in word.partition("=")[0] or word.startswith("parts.")
    )


def _filled_in(cfg: Mapping[str, Any], plain: Mapping[str, str]) -> dict[str, Any]:
    """Copy ``cfg`` with the seed and the budget of ``plain``, in the types that ``cfg`` has."""
    filled = copy.deepcopy(dict(cfg))
    for key, value in plain.items():
        place = filled if key == "seed" else filled["budget"]
        name = key.removeprefix("budget.")
        if value != "null":
            place[name] = type(place[name])(float(value))
    return filled
