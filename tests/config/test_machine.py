"""Caches lie where the user's environment says; a system that hides its cores is not guessed at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ssl_patches.config.machine import cache_folder, cores, folder_for


def test_the_environment_decides_where_caches_lie(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("images") == tmp_path / "ssl_patches" / "images"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("images") == tmp_path / ".cache" / "ssl_patches" / "images"


def test_a_user_without_a_home_is_told_which_folder_to_name(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder("shards") is None
    with pytest.raises(ValueError, match=r"no home.*set data\.shard_dir=DIR"):
        folder_for(None, "shards", "data.shard_dir")
    assert folder_for("here", "shards", "data.shard_dir") == Path("here")


def test_cores_are_those_of_this_process_or_none(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() is None
