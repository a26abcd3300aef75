"""Run ``ssl-patches compare``: the table first, then the files beside it.

For a person the page and the CSV are written into the folder that was named; for a script
(``--json``, ``--markdown``) only what it asks for. A file that is already there is replaced only
when it is one of ours.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_patches.config.atomic import write_text
from ssl_patches.config.messages import Failed
from ssl_patches.config.plain_text import tell
from ssl_patches.config.run_dir import CONFIG
from ssl_patches.studies import design
from ssl_patches.studies.compare.comparison import Comparison, compare_runs
from ssl_patches.studies.compare.table import as_csv, long_rows, pair_rows, render
from ssl_patches.studies.run_reader import run_folders

STUDY = "study.yaml"

PAGE, RESULTS, PAIRS = "report.html", "results.csv", "pairs.csv"
MARKS = {
    PAGE: '<meta name="generator" content="ssl-patches compare"',
    RESULTS: "run,entry,task,encoder,seed,model,",
    PAIRS: "metric,family,first,second,ahead,",
}
"""How a file of ours begins, so that no other is replaced unasked."""


@dataclass(frozen=True)
class Wanted:
    """What ``compare`` was asked for. ``page``, ``results``: files; None: those beside the runs,
    when a person reads."""

    metric: str | None = None
    mixed: bool = False
    as_json: bool = False
    markdown: bool = False
    wandb: bool = False
    tensorboard: bool = False
    page: Path | None = None
    results: Path | None = None


def compare(places: Sequence[Path], wanted: Wanted) -> int:
    """Print the comparison of all runs below ``places`` and write its files. ValueError for a bad
    request, Failed where a file cannot be written."""
    if not places:
        raise ValueError("compare: give runs or folders of runs, e.g. ssl-patches compare runs")
    for flag, file in (("--csv", wanted.results), ("--report", wanted.page)):
        if file is not None and not file.parent.is_dir():
            raise ValueError(
                f"{flag}={file}: there is no folder {file.parent}; make it, or give another FILE"
            )
        if file is not None and file.is_dir():
            raise ValueError(
                f"{flag}={file}: is a folder; give {flag}"
                f" {file / (PAGE if flag == '--report' else RESULTS)}"
            )
        if file is not None and _is_foreign(file, PAGE if flag == "--report" else RESULTS):
            raise ValueError(f"{flag}={file}: is not one of ours and stays; give another FILE")
    if wanted.page and not can_draw():
        raise ValueError(
            f"--report={wanted.page}: needs altair and vl-convert-python; pip install"
            " 'ssl-patches[report]'"
        )
    places = [runs_of_study(place) for place in places]
    comparison = compare_runs(places, metric=wanted.metric, mixed=wanted.mixed)
    for lost in comparison.left_out:
        _say(f"left out {lost.path}: {lost.reason}")
    rows = long_rows(comparison)
    tell(json.dumps(rows) if wanted.as_json else render(comparison, markdown=wanted.markdown))
    page, results = _files(places, wanted)
    _write(results, RESULTS, lambda: as_csv(rows))
    if pairs := pair_rows(comparison):
        _write(_beside(results), PAIRS, lambda: as_csv(pairs))
    _write(page, PAGE, lambda: _page(comparison))
    if wanted.wandb or wanted.tensorboard:
        from ssl_patches.studies.compare.logged import log_to_tensorboard, log_to_wandb

        if wanted.wandb:
            _say(f"wandb     {log_to_wandb(comparison, rows)}")
        if wanted.tensorboard:
            _say(f"tensorboard {log_to_tensorboard(comparison, rows)}")
    return 0


def runs_of_study(place: Path, command: str = "compare") -> Path:
    """Return the folder of the runs of a study where ``place`` is one, or its study.yaml.

    Any other place is returned as it is. ``command``: who asks, for the error. ValueError where the
    study has made no runs.
    """
    file = place / STUDY if place.is_dir() else place
    if file.name != STUDY and file.suffix not in (".yaml", ".yml"):
        return place
    if not file.is_file() or next(run_folders(place), None) is not None:
        return place
    out = Path("runs") / design.name_of(file)
    if not out.is_dir():
        raise ValueError(
            f"{command} {place}: is a study, and its runs are not in {out}; give the folder that"
            " out= named, or run it first with ssl-patches study"
        )
    return out


def _beside(results: Path | None) -> Path | None:
    """Where the pairs of a file of results go; nowhere when somebody else's file is in the way."""
    if results is None:
        return None
    file = results.with_name(PAIRS if results.name == RESULTS else f"{results.stem}-{PAIRS}")
    return (
        None if _foreign(file, PAIRS, f"--csv FILE in another folder than {file.parent}") else file
    )


def _files(places: Sequence[Path], wanted: Wanted) -> tuple[Path | None, Path | None]:
    """Where page and CSV go: where they were told to, or into the one folder of runs that a person
    named."""
    page, results = wanted.page, wanted.results
    if wanted.as_json or wanted.markdown or len(places) != 1 or (places[0] / CONFIG).is_file():
        return page, results
    beside_page, beside_results = (
        None if _foreign(places[0] / name, name, f"{flag} FILE") else places[0] / name
        for name, flag in ((PAGE, "--report"), (RESULTS, "--csv"))
    )
    if page is None and not can_draw():
        _say(
            "no report.html: it needs altair and vl-convert-python; pip install"
            " 'ssl-patches[report]'"
        )
        beside_page = None
    return page or beside_page, results or beside_results


def _foreign(file: Path, kind: str, remedy: str) -> bool:
    """Is this somebody else's file? Then it is left alone, and said."""
    if foreign := _is_foreign(file, kind):
        _say(f"{file} is not one of ours and stays as it is; give {remedy}")
    return foreign


def _is_foreign(file: Path, kind: str) -> bool:
    if not file.exists():
        return False
    if not file.is_file():
        return True
    with file.open(encoding="utf-8", errors="replace") as opened:
        return MARKS[kind] not in opened.read(2000)


def can_draw() -> bool:
    """Tell whether the libraries of report.html are installed."""
    return all(importlib.util.find_spec(name) for name in ("altair", "vl_convert"))


def _page(comparison: Comparison) -> str:
    from ssl_patches.studies.compare.report.page import page

    return page(comparison)


def _write(file: Path | None, kind: str, content) -> None:
    if file is None:
        return
    try:
        write_text(file, content())
    except OSError as error:  # a full disk, a folder that may only be read
        flag = "--report" if kind == PAGE else "--csv"
        raise Failed(
            f"{file}: could not be written ({error.strerror}); give {flag} FILE in another folder"
        ) from None
    _say(f"{kind.partition('.')[0]:9} {file}")


def _say(text: str) -> None:
    tell(text, sys.stderr)
