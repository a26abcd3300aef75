"""Write a comparison as text: aligned for the terminal, Markdown, and long-form CSV.

The trap: two kinds of interval look alike. ``[ ]`` is over seeds and may be used to tell entries
apart; ``( )`` is over the test images of the one run there is, and may not. The table says which it
shows.
"""

from __future__ import annotations

import csv
import glob
import io
import os
from collections.abc import Sequence
from typing import Any

from ssl_patches.config.plain_text import aligned, field, in_lines, printable
from ssl_patches.evaluation.rows import RAW_PIXELS, TRAINED
from ssl_patches.studies.compare.comparison import Comparison, estimate_metric
from ssl_patches.studies.compare.entries import Entry
from ssl_patches.studies.compare.runs import ROW, FinishedRun
from ssl_patches.studies.compare.same_images import LEGEND as LEGEND_OF_IMAGES

SHOWN = 4  # metrics that a terminal has room for; the page shows all
LEGEND = {
    "seeds": "[ ] 95 % t-interval over seeds",
    "images": "( ) one seed or none: 95 % over test images only, says nothing about another run",
}


def columns(comparison: Comparison) -> list[str]:
    """Return the titles of the columns."""
    return [
        "",
        "seeds",
        *comparison.metrics[:SHOWN],
        "images",
        "TFLOP",
        "seconds",
        "images/s",
        "lies in",
    ]


def lines(comparison: Comparison) -> list[list[str]]:
    """Return one line per entry, best first, floors last."""
    found = []
    for entry in comparison.entries:
        values = [
            str(estimate_metric(entry, metric) or "-") for metric in comparison.metrics[:SHOWN]
        ]
        seeds = "-" if entry.model == RAW_PIXELS else str(len(entry.seeds))
        found.append(
            [entry.name, seeds, *values, *(_spent(entry) if entry.model == TRAINED else ["-"] * 5)]
        )
    return found


def _spent(entry: Entry) -> list[str]:
    speed = sum(run.images_per_second for run in entry.runs) / len(entry.runs)
    return [
        f"{entry.spent('images'):,.0f}",
        f"{entry.spent('flops') / 1e12:.3g}",
        f"{entry.spent('seconds'):,.0f}",
        f"{speed:,.0f}",
        lies_in(entry.runs),
    ]


ALONE = (
    "of two trainings with one seed each `ssl-patches evaluate model=RUN against=OTHER` says more:"
    " it compares them image by image"
)


def lies_in(runs: Sequence[FinishedRun]) -> str:
    """Say where the encoder of the one run is, or the runs as a shell finds them, and no others."""
    if len(runs) == 1:
        return str(runs[0].path / "encoder")
    pattern = os.path.commonprefix([str(run.path) for run in runs]) + "*"  # noqa: RUF071 (letters, on purpose)
    if set(glob.glob(pattern)) == {str(run.path) for run in runs}:
        return pattern
    return os.path.join(
        os.path.commonpath([run.path for run in runs]),
        f"{{{','.join(sorted(run.path.name for run in runs))}}}",
    )


def sentences(comparison: Comparison) -> list[str]:
    """Say what the seeds tell about every pair, in the metric that the table is ranked by."""
    if (metric := comparison.ranked_by) is None:
        return []
    between = comparison.pairs(metric)
    pairs = between + comparison.against_floors(metric)
    notes = [LEGEND_OF_IMAGES] if any(pair.images for pair in pairs) else []
    if any(pair.p_holm is None and 1 in pair.n and not pair.images for pair in between):
        notes.append(ALONE)
    return [pair.sentence for pair in pairs] + notes


def legend(comparison: Comparison) -> str:
    """Explain the kinds of intervals that the table shows."""
    kinds = {
        found.over
        for entry in comparison.entries
        for metric in comparison.metrics
        if (found := estimate_metric(entry, metric))
    }
    return "; ".join(text for kind, text in LEGEND.items() if kind in kinds)


def render(comparison: Comparison, *, markdown: bool = False) -> str:
    """Write the table, what it means, and a sentence for each pair."""
    table, said = [columns(comparison), *lines(comparison)], sentences(comparison)
    told = [
        text
        for text in (legend(comparison), *(f"note: {note}" for note in comparison.notes))
        if text
    ]
    if markdown:
        rows = [table[0], ["---"] * len(table[0]), *table[1:]]
        blocks = [[f"| {' | '.join(_plain(field) for field in row)} |" for row in rows]]
        blocks += [[f"- {_plain(text)}" for text in block] for block in (told, said)]
    else:
        ranked = [f"{comparison.ranked_by}:", *(f"  {text}" for text in said)]
        blocks = [[aligned(table, rule=True)], told, ranked if said else []]
    return in_lines([each for block in blocks if block for each in ("", *block)][1:])


def _plain(text: str) -> str:
    """Escape what Markdown or HTML would read as its own in a folder name or a value."""
    for sign in "\\|<*`":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split()).replace("](", "]\\(")


def long_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the results of every run in long form: what ``--json`` prints and ``results.csv``
    holds."""
    names = {
        (run.path, entry.model): entry.name for entry in comparison.entries for run in entry.runs
    }
    return [
        {
            "run": str(run.path),
            "entry": (
                names[run.path, row["model"]] if (run.path, row["model"]) in names else row["model"]
            ),
            "task": run.task,
            "encoder": run.encoder,
            "seed": run.seed,
            **{key: row[key] for key in ROW},
            **{key: run.used[key] for key in ("images", "flops", "seconds")},
            "data_fingerprint": run.fingerprint,
        }
        for run in comparison.runs
        for row in run.results
    ]


def pair_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return every pair in every metric in long form: what ``pairs.csv`` holds. Empty where seeds
    allow no statement.

    ``family``: what Holm's correction is over, all pairs of tasks or all of a task and a floor.
    ``n_first``, ``n_second``: seeds, 0 for a floor without one.
    """
    found = []
    for metric in [*comparison.metrics, *comparison.layers]:
        for family, pairs in (
            ("tasks", comparison.pairs(metric)),
            ("floors", comparison.against_floors(metric)),
        ):
            for pair in pairs:
                row = {
                    "metric": metric,
                    "family": family,
                    "first": pair.first,
                    "second": pair.second,
                    "ahead": pair.ahead,
                }
                row |= {"low": pair.low, "high": pair.high, "p": pair.p, "p_holm": pair.p_holm}
                row |= {
                    "n_first": pair.n[0],
                    "n_second": pair.n[1],
                    "better": pair.decided,
                    "finding": pair.sentence,
                }
                found.append(row)
    return found


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as CSV, with a header; text that a spreadsheet would compute begins with ``'``."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["run"])
    writer.writeheader()
    writer.writerows(
        {
            key: field(printable(value)) if isinstance(value, str) else value
            for key, value in row.items()
        }
        for row in rows
    )
    return out.getvalue()
