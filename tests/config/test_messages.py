"""A message is one short line with the nearest name that there is."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_patches import config
from ssl_patches.config.messages import BadRequest, nearest, shown, typed
from ssl_patches.config.schema import EVALUATE, EXPORT


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


NAMES = ["2024_11_28", "1e-3", "1_0", "a,b", "it's", 'a"b', "true", "007", "x\\", "a b", "(1)"]
BEYOND_ASCII = ["größe", "日本", "b/ä-1.5", "gr\udcfc\udcdfe", "~/ä", "ä%@+?|*"]
ODD = ["a,ä", "ä ö", "ä=b", "ä's", "ä(1)", "ä:b", "{ä}", "[ä"]


def read_by_hydra(word: str) -> object:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(word).value()


@given(st.one_of(st.sampled_from(NAMES), st.text(st.characters(codec="ascii"), min_size=1)))
def test_the_word_to_type_means_the_name_in_a_shell_whatever_it_is(name):
    if name.isprintable():
        (word,) = shlex.split(typed("data.root", name))
        assert read_by_hydra(word) == name


@pytest.mark.parametrize("name", BEYOND_ASCII)
@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_letters_of_any_language_work_as_typed(name, plus):
    words = [f"{plus}model={name}", "output=out"]
    assert config.request("export", words, schema=EXPORT)["model"] == name
    assert config.sweeps([words[0]]) == [(words[0], None)]


@pytest.mark.parametrize("name", [*NAMES[:7], *BEYOND_ASCII, *ODD])
def test_a_name_works_as_typed_or_the_refusal_says_the_word_for_this_name(name):
    words = [f"model={name}", "output=out"]
    try:
        assert config.request("export", words, schema=EXPORT)["model"] == name
    except BadRequest as error:
        told = str(error)
        assert f"model={name}" in told
        word = next(found for found in re.split(r"(?:quote it|the value|comma is):? ", told)[1:])
        meant = shlex.split(word.rstrip())[0].rstrip(",;")
        again = config.request("export", [meant, "output=out"], schema=EXPORT)
        assert again["model"] == name


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("probes=3", "give a list: 'probes=[TEXT]'"),
        ("probes=true", "give a list: 'probes=[TEXT]'"),
        ("probes=[3]", "give a list: 'probes=[TEXT]'"),
        ("probes=knn", "a list of one is 'probes=[knn]'"),
    ],
)
def test_where_a_list_is_due_the_remedy_is_a_list(word, remedy):
    with pytest.raises(BadRequest) as refused:
        config.request("evaluate", ["model=x", word], schema=EVALUATE)
    assert refused.value.problems == [f"{word}: must be a list, each text; {remedy}"]
