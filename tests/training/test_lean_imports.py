"""Packages are left out for a moment, and are as they were afterwards."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest

from ssl_patches.training.lean_imports import absent, load_lean, named_classes


def test_packages_are_absent_in_the_block_and_there_afterwards(monkeypatch):
    for name in ("colorsys", "transformers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = list(sys.meta_path)
    with absent(["colorsys", "packaging", "transformers"]):
        assert importlib.util.find_spec("json")
        assert importlib.metadata.version("torch")
        with pytest.raises(ModuleNotFoundError):
            importlib.util.find_spec("colorsys")
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("transformers")
        assert importlib.util.find_spec("packaging")  # was loaded before
    assert sys.meta_path == before
    assert importlib.util.find_spec("colorsys")
    assert importlib.metadata.version("packaging")


def test_the_finder_goes_where_the_import_fails():
    before = list(sys.meta_path)
    with pytest.raises(RuntimeError), absent(["transformers"]):
        raise RuntimeError
    assert sys.meta_path == before


def test_everything_comes_where_a_class_is_somebody_elses(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchmetrics", raising=False)
    own = {"task": {"_target_": "ssl_patches.tasks.jigsaw.Jigsaw"}}
    assert not load_lean({**own, "callbacks": {"mine": {"_target_": "mine.Metrics"}}})
    assert list(named_classes({"a": [own, {"b": {"_target_": "c.D"}}]})) == [
        "ssl_patches.tasks.jigsaw.Jigsaw",
        "c.D",
    ]


ASK = """
import sys
from ssl_patches.training.lean_imports import load_lean
assert load_lean({})
import ssl_patches.training.run
print(*sorted(name for name in sys.modules if name.count(".") < 2))
import matplotlib, scipy, transformers.utils, wandb
"""


@pytest.mark.slow  # a process that loads everything
def test_a_pretraining_starts_without_what_torchmetrics_brings():
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"torch", "lightning.pytorch", "timm", "torchmetrics"} <= loaded
    assert not loaded & {"scipy", "transformers", "matplotlib", "pandas", "sklearn", "wandb"}
