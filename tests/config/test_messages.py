"""A message is one short line with the nearest name that there is."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ssl_patches.config.messages import BadRequest, nearest, shown


def test_one_line_per_problem():
    error = BadRequest(["a: b; c", "d: e; f"])
    assert str(error) == "a: b; c\nd: e; f"
    assert isinstance(error, ValueError)


def test_nearest_ignores_case_completes_beginnings_and_lists_what_there_is():
    assert nearest("JIGSAW", ["jigsaw", "masked"]) == "did you mean 'jigsaw'?"
    assert nearest("perm", ["permutations", "ratio"]) == "did you mean 'permutations'?"
    assert nearest("zzz", ["b", "a"]) == "choose among: a, b"


@given(st.one_of(st.integers(), st.booleans(), st.none(), st.text(), st.floats(allow_nan=False)))
def test_a_shown_value_is_one_short_line_and_text_is_never_mistaken_for_something_else(value):
    text = shown(value)
    assert len(text) <= 80
    assert "\n" not in text
    if isinstance(value, str) and len(text) < 80:
        assert text == value or json.loads(text) == value
        assert text not in ("true", "null", "3")
