"""Ask the machine: where the user's caches lie, and how many cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path | None:
    """Return the user's folder for caches called ``name``; None for a user without a home."""
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # as in a container that runs as a user without a name
        return None
    return caches / "ssl_patches" / name


def folder_for(given: str | None, name: str, key: str) -> Path:
    """Return the folder ``given``, or else the user's one for caches called ``name``.

    ``key``: the setting that gives it. ValueError for a user without a home.
    """
    if given:
        return Path(given).expanduser()
    if (folder := cache_folder(name)) is None:
        raise ValueError(f"{key}: this user has no home to keep caches in; set {key}=DIR")
    return folder


def cores() -> int | None:
    """Return the cores that this process may use; None where the system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
