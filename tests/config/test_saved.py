"""What is saved is loaded, and a failed save leaves the old file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_patches.config import load, save
from ssl_patches.config.messages import BadRequest

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(
        st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="$\\")
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), plain, max_size=4))
def test_what_is_saved_is_loaded(tmp_path_factory, cfg):
    file = tmp_path_factory.getbasetemp() / "saved.yaml"
    save(cfg, file)
    assert load(file) == cfg


@pytest.mark.parametrize(
    "text", ["1e5", "1e-4", "012", "true", "null", "", "???", " a ", "12:30:00", "${seed}", "a: b"]
)
def test_text_that_looks_like_something_else_stays_text(tmp_path, text):
    save({"seed": 1, "x": text}, tmp_path / "c.yaml")
    assert load(tmp_path / "c.yaml")["x"] == text


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    save({"a": 1}, tmp_path / "new" / "c.yaml")
    with pytest.raises(TypeError):
        save({"a": Path("x")}, tmp_path / "new" / "c.yaml")
    assert load(tmp_path / "new" / "c.yaml") == {"a": 1}
    assert os.listdir(tmp_path / "new") == ["c.yaml"]


def test_a_file_that_cannot_be_loaded_is_a_bad_request(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [1")
    (tmp_path / "list.yaml").write_text("[1]")
    for name, rule in (
        ("none.yaml", "no such file"),
        ("bad.yaml", "cannot be read"),
        ("list.yaml", "must hold"),
    ):
        with pytest.raises(BadRequest, match=rule):
            load(tmp_path / name)
