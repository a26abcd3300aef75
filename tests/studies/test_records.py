"""A study multiplies its axes and leaves out what is not wanted."""

from __future__ import annotations

from ssl_patches.studies.records import Design, Value


def axis(key: str, *labels: str) -> dict[str, tuple[Value, ...]]:
    return {key: tuple(Value(label, (f"{key}={label}",)) for label in labels)}


def labels(design: Design, **options: str) -> list[str]:
    return [
        " ".join(value.label for value in chosen.values())
        for chosen in design.combinations(**options)
    ]


def test_the_last_axis_changes_fastest():
    design = Design("s", (), {**axis("task", "a", "b"), **axis("seed", "0", "1")})
    assert labels(design) == ["a 0", "a 1", "b 0", "b 1"]


def test_an_axis_can_be_left_unused():
    design = Design("s", (), {**axis("task", "a", "b"), **axis("seed", "0", "1")})
    assert labels(design, but="task") == ["0", "1"]


def test_what_fits_all_of_an_exclusion_is_left_out_and_nothing_else():
    axes = {**axis("task", "a", "b"), **axis("seed", "0", "1")}
    design = Design("s", (), axes, without=({"task": "b", "seed": "1"},))
    assert labels(design) == ["a 0", "a 1", "b 0"]
