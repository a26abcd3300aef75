"""Files from elsewhere end in an error, whatever they are: pipes, bombs, nesting without end."""

from __future__ import annotations

import os

import pytest

from ssl_patches.config import load
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.outside import check_regular, parse_json, read_json, read_plain_yaml

BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{last}, *{last}]\n"
    for last, name in zip("abcdefghijklmnopqrst", "bcdefghijklmnopqrstu", strict=True)
)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(OSError, match="no ordinary file"):
        check_regular(tmp_path / "config.yaml")
    with pytest.raises(BadRequest, match="no ordinary file"):
        load(tmp_path / "config.yaml")
    with pytest.raises(OSError, match="no ordinary file"):
        read_json("/dev/zero")


@pytest.mark.parametrize(
    "text", [BOMB, "a: " + "[" * 100 + "]" * 100, "[" * 500_000, "a: [", "\x00", ""]
)
def test_yaml_that_unfolds_nests_or_is_damaged_is_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(BadRequest, match="restore the file"):
        load(tmp_path / "config.yaml")


def test_yaml_of_ours_is_read_as_it_stands(tmp_path):
    (tmp_path / "a.yaml").write_text("a: {b: [1, 'x*y', '&z']}\n")
    assert read_plain_yaml(tmp_path / "a.yaml") == "a: {b: [1, 'x*y', '&z']}\n"


def test_json_nested_without_end_is_a_value_error():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 200_000)
    assert parse_json('{"a": [1]}') == {"a": [1]}
