"""What all charts share: one colour per entry, choices, and the same page for the same runs."""

from __future__ import annotations

import altair as alt

from ssl_patches.studies.compare.comparison import Estimate, compare_runs
from ssl_patches.studies.compare.report.vega import bound_columns, choice, colours, specification


def test_entries_have_colours_of_their_own_and_floors_are_grey(study):
    shade = colours(compare_runs([study]).entries)
    assert shade["raw_pixels"] == shade["random_init"] == "var(--muted)"
    assert shade["jigsaw"] != shade["masked"]


def test_a_choice_of_one_is_no_control():
    several, condition = choice("metric", ["a", "b"])
    assert several.param.bind.to_dict()["options"] == ["a", "b"]
    assert condition == "datum.metric === chosen_metric"
    alone, _ = choice("metric", ["a"])
    assert alone.param.bind is alt.Undefined


def test_bounds_say_what_they_cover():
    assert bound_columns(Estimate(1.0, 0.5, 1.5, "seeds", 3))["interval"] == "over 3 seeds"
    assert bound_columns(Estimate(1.0, None, None, "", 0)) == {
        "mean": 1.0,
        "low": None,
        "high": None,
        "interval": "none",
    }


def test_the_same_chart_twice_is_the_same_text():
    def chart():
        points = alt.Chart(alt.Data(values=[{"a": 1}])).mark_point().encode(x="a:Q")
        return specification(alt.layer(points, points), height=20)

    assert chart() == chart()
