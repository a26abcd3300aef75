"""Find what there is to see: which runs, and which pictures each of them has drawn.

A path that is served comes from here, from folders that were found, never from an address: what a
browser asks for is looked up among these.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_patches.config.outside import read_json
from ssl_patches.config.run_dir import CONFIG
from ssl_patches.evaluation.rows import Row
from ssl_patches.studies.compare.command import runs_of_study
from ssl_patches.studies.run_reader import run_folders

ALARMS = "alarms.json"
FIGURES, HEALTH, PREVIEW = "figures", "health", "neighbours"
MOST_RUNS = 500  # on the page of a study
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Shown:
    """A place to look at. ``runs``: folders of runs, by path; ``single``: it is a run itself."""

    path: Path
    runs: list[Path]
    single: bool

    def name(self, number: int) -> str:
        """Return what a run is called: its path below the place."""
        run = self.runs[number]
        return run.resolve().name if self.single else run.relative_to(self.path).as_posix()


def find_shown(path: Path) -> Shown:
    """Find the runs at or below ``path``, or of the study that it is. ValueError where none is."""
    if (path / CONFIG).is_file():
        return Shown(path, [path], True)
    path = runs_of_study(path, "view")
    runs = list(run_folders(path)) if path.is_dir() else []
    if not runs:
        from ssl_patches.encoders.exported import CARD  # here: loads timm

        if (path / CARD).is_file():
            raise ValueError(
                f"view {path}: is an export and no run; give the run that it was made of"
            )
        raise ValueError(
            f"view {path}: is no run and holds none (a run has {CONFIG}); `ssl-patches runs DIR`"
            " lists those below DIR"
        )
    return Shown(path, runs[:MOST_RUNS], False)


def has_encoder(run: Path) -> bool:
    """Tell whether a run holds an exported encoder, which a map needs."""
    return (run / "encoder").is_dir()


def figure_files(run: Path) -> dict[str, Path]:
    """Map the name of each picture of a run to its file: health first, then by name.

    What is no PNG is left out, and links too: a folder may come from somebody else.
    """
    folder = run / FIGURES
    files = [] if folder.is_symlink() else sorted(folder.glob("*.png"))
    files = sorted(files, key=lambda file: (file.stem != HEALTH, file.stem != PREVIEW))
    return {file.stem: file for file in files if not file.is_symlink() and file.is_file()}


def picture_bytes(file: Path) -> bytes | None:
    """Read a picture; None where it is gone, or is no PNG."""
    with suppress(OSError):
        content = file.read_bytes()
        return content if content.startswith(PNG) else None
    return None


def result_rows(summary: Mapping[str, Any]) -> list[Row]:
    """Return the results of a summary; none where they are damaged."""
    with suppress(TypeError, KeyError):
        return [Row(**row) for row in summary.get("results", [])]
    return []


def alarm_lines(run: Path) -> list[str]:
    """Return what alarms of a run said, in order; none where the file is not there or damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        return [
            f"{alarm['name']} at step {alarm['step']}: {alarm['says']}. Try: {alarm['remedy']}"
            for alarm in read_json(run / ALARMS)
        ]
    return []
