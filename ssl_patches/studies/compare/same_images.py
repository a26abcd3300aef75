"""Test two trainings of one seed on the test images that both were evaluated on (McNemar 1947).

It says whether *these two encoders* differ. The trap: it says nothing about other runs of the two
recipes, which only seeds do, and so it decides nothing in a table.
"""

from __future__ import annotations

from ssl_patches.evaluation.record import FILE, Record, check_alike, mcnemar
from ssl_patches.evaluation.rows import TRAINED
from ssl_patches.studies.compare.entries import Entry

LEGEND = (
    "right alone: on how many of the same test images only the first, only the second is right;"
    " McNemar's test of it speaks of these two trainings, not of another run"
)


def on_images(metric: str, first: Entry, second: Entry) -> str:
    """Say how two entries differ image by image; ``first`` is the one with the better value.

    "" where predictions of classes were not kept, where the two are of other images, and where an
    entry has several seeds. A floor is that of the run beside it.
    """
    name = metric.rpartition("_")[0]
    trained = [entry for entry in (first, second) if entry.model == TRAINED]
    if not metric.endswith("_top1") or not trained or any(len(e.seeds) > 1 for e in trained):
        return ""
    try:
        one, other = (_record(entry, trained[0]) for entry in (first, second))
        check_alike(one, other)
    except ValueError:
        return ""
    if one.kind != "class" or not name or not {name} <= one.predictions.keys() & other.predictions:
        return ""
    alone, its, p = mcnemar(one.predictions[name], other.predictions[name], one.labels)
    said = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    return f"right alone on {alone:,} and {its:,} of {len(one.labels):,} images, {said} (McNemar)"


def _record(entry: Entry, beside: Entry) -> Record:
    if entry.model == TRAINED:
        return Record.load(entry.runs[0].path / FILE)
    return Record.load(beside.runs[0].path / FILE).of(entry.model)
