"""Each chart is drawn from what the runs hold, or left out where they hold nothing for it."""

from __future__ import annotations

from ssl_patches.studies.compare.comparison import compare_runs
from ssl_patches.studies.compare.report import charts


def drawn(place) -> set[str]:
    comparison = compare_runs([place])
    makers = {
        "results": charts.results,
        "pareto": charts.pareto,
        "curves": charts.curves,
        "layers": charts.per_layer,
        "classes": charts.per_class,
        "health": charts.health,
    }
    return {name for name, make in makers.items() if make(comparison)}


def test_charts_without_anything_to_show_are_left_out(study):
    assert drawn(study) == {"results", "pareto", "curves", "health"}
    for run in study.iterdir():
        (run / "metrics.csv").unlink()
    assert drawn(study) == {"results", "pareto"}


def test_the_front_holds_what_nothing_beats(study):
    rows = charts._priced(compare_runs([study]), "linear_top1", "TFLOP")
    assert {row["entry"] for row in rows if row["front"] == "yes"} >= {"masked"}
