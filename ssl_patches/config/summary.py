"""Read ``summary.json``, which a finished run leaves: what is damaged in it is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_patches.config.outside import read_json
from ssl_patches.config.run_dir import SUMMARY


def read_summary(directory: Path) -> dict[str, Any]:
    """Read the summary of a run. ValueError where it is not finished, or the file is damaged.

    What is there of ``task`` is text, of ``results`` a list of rows, of ``budget_used`` numbers.
    """
    try:
        found = read_json(directory / SUMMARY)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("not finished") from None
    except (ValueError, OSError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from None
    if not isinstance(found, dict):
        raise _damaged("must hold one JSON object")
    if not isinstance(found.get("task", ""), str):
        raise _damaged(f"task: must be str, is {found['task']!r:.80}")
    rows = found.get("results", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _damaged("results must be a list of rows")
    used = found.get("budget_used", {})
    if not isinstance(used, dict):
        raise _damaged(f"budget_used: must be dict, is {used!r:.80}")
    return found


def _damaged(reason: str) -> ValueError:
    return ValueError(f"{SUMMARY} cannot be read ({reason})")
