"""A small conf/ of toys, to compose without the real one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ssl_patches.config import compose
from ssl_patches.config import files as conf_files
from ssl_patches.config.messages import BadRequest

TOYS = """
from typing import Any
class Embedded:
    def __init__(self, *, batch_size: int = 32): ...
class Folder:
    def __init__(self, *, root: str, batch_size: int = 32): ...
class Tiles:
    def __init__(self, *, rows: int, gap: int = 0): ...
class Jigsaw:
    def __init__(self, *, dim: int, permutations: int = 30, ratio: float = 0.5,
        options: dict[str, Any] | None = None): ...
class Position:
    def __init__(self, *, dim: int, share: float = 0.1): ...
"""
CONF = {
    "pretrain": (
        """
        defaults:
          [_self_, {data: embedded}, {sampler: tiles_3x3}, {task: jigsaw}, {optional logger: null},
          {optional experiment: null}]
        seed: 0
        image_size: 96
        budget: {images: null, epochs: null}
        run_dir: null
        """
    ),
    "evaluate": "defaults: [{data: embedded}, _self_]\nmodel: ???\nhalf: ${seed}\nseed: 1",
    "data/embedded": "_target_: conf_toys.Embedded",
    "data/folder": "_target_: conf_toys.Folder\nroot: ???",
    "sampler/tiles_3x3": "_target_: conf_toys.Tiles\nrows: 3",
    "sampler/tiles_2x2": "_target_: conf_toys.Tiles\nrows: 2",
    "sampler/tokens": "_target_: conf_toys.Tiles\nrows: 14",
    "logger/csv": "_target_: conf_toys.Embedded",
    "task/jigsaw": "_target_: conf_toys.Jigsaw\npermutations: 30",
    "task/position": (
        "defaults: [{override /sampler@_global_.sampler: tokens}]\n_target_: conf_toys.Position"
    ),
    "experiment/small": (
        """# @package _global_
        defaults: [{override /task: position}, {override /sampler: tiles_2x2}]
        image_size: 32
        """
    ),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(re.sub(r"^ {8}", "", text.strip(), flags=re.MULTILINE) + "\n")
    return folder


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the toys where our conf/ is looked for; returns the folder."""
    (tmp_path / "conf_toys.py").write_text(TOYS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "conf_toys", raising=False)
    folder = write(tmp_path / "conf", CONF)
    monkeypatch.setattr(conf_files, "conf_dir", lambda: folder)
    return folder


def refused(*overrides: str, command: str = "pretrain", ask=compose, **rules) -> list[str]:
    with pytest.raises(BadRequest) as caught:
        ask(command, overrides, **rules)
    return caught.value.problems
