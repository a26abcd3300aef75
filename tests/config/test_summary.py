"""A summary is read whole, or its damage is told in one line that names the file."""

from __future__ import annotations

import json

import pytest

from ssl_patches.config.summary import read_summary


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "3", "[" * 100_000),
        *('{"results": 5}', '{"results": [1]}', '{"task": ["a"]}', '{"budget_used": [1]}'),
    ],
)
def test_damage_names_the_file(tmp_path, content):
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(ValueError, match=r"^summary\.json cannot be read \("):
        read_summary(tmp_path)


def test_what_is_whole_is_read_and_none_is_not_finished(tmp_path):
    with pytest.raises(ValueError, match="not finished"):
        read_summary(tmp_path)
    content = {"task": "a", "results": [{"model": "b"}], "budget_used": {"images": 1}}
    (tmp_path / "summary.json").write_text(json.dumps(content))
    assert read_summary(tmp_path) == content
