"""Write a file so that a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_text(path: Path, content: str) -> None:
    """A reader sees the old file or the new one, never half of it."""
    half = path.with_name(f".{path.name}.half")
    try:
        half.write_text(content, encoding="utf-8")
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)  # there only when the disk is full


def write_json(path: Path, content: Any) -> None:
    """``content`` as JSON, written like ``write_text``."""
    write_text(path, json.dumps(content, indent=2) + "\n")
