"""Keywords of Python become the words that would have been typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from ssl_patches.config.messages import BadRequest
from ssl_patches.config.words import data_words, spelled, words_of_keys

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | TEXT,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_what_is_spelled_is_read_back(value):
    read = OverridesParser.create().parse_override(f"key={spelled(value)}").value()
    assert plain(read) == value


def plain(value):
    """Without Hydra's marks of quotes."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    return getattr(value, "text", value)


def test_a_mapping_becomes_keys_below_its_own():
    words = words_of_keys({"budget": {"images": 5}, "run_dir": Path("a b")}, {"task.depth": 2})
    assert words == ["budget.images=5", 'run_dir="a b"', "task.depth=2"]


def test_live_objects_are_refused_by_key():
    with pytest.raises(BadRequest, match="task: a setting is plain data, and this is a object"):
        words_of_keys({"task": object()}, None)


def test_data_may_be_a_name_a_folder_a_node_or_objects(tmp_path):
    assert data_words(None) == ([], None)
    assert data_words("embedded") == (["data=embedded"], None)
    assert data_words(str(tmp_path)) == (["data=folder", f"data.root={tmp_path}"], None)
    assert data_words({"_target_": "a.B"}) == (["data=own", "data._target_=a.B"], None)
    words, objects = data_words([1, 2])
    assert words[-1] == "data.name=list"
    assert objects == {"train": [1, 2]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"train": [1], "test": [2]}, "unknown split"),
        ({"train": "folder"}, "must be a Dataset object"),
    ],
)
def test_wrong_splits_are_refused(data, said):
    with pytest.raises(BadRequest, match=said):
        data_words(data)
