"""A reader sees the old file or the new one, and what could not be written leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_patches.config import atomic
from ssl_patches.config.atomic import replacing, write_json, write_text


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    file = tmp_path / "file"
    write_text(file, "old")
    with replacing(file) as aside:
        aside.write_text("ne")
        assert file.read_text() == "old"
        aside.write_text("new")
    assert file.read_text() == "new"
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("durable", [False, True])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path, durable):
    file = tmp_path / "file"
    write_text(file, "old")

    def fill_up() -> None:
        with replacing(file, durable=durable) as aside:
            aside.write_text("ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fill_up()
    assert file.read_text() == "old"
    assert names(tmp_path) == {"file"}


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with replacing(tmp_path / "file") as one, replacing(tmp_path / "file") as other:
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "file").read_text() == "one"


def test_it_is_written_in_the_folder_given_and_on_the_disk_before_it_has_its_name(
    tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(atomic, "flush", lambda path: seen.append((path.parent, path.read_text())))
    (tmp_path / "parts").mkdir()
    with replacing(tmp_path / "file", durable=True, folder=tmp_path / "parts") as aside:
        aside.write_text("rows")
    assert seen == [(tmp_path / "parts", "rows")]
    assert (tmp_path / "file").read_text() == "rows"


def test_json_is_read_back_and_what_has_no_form_in_it_is_refused(tmp_path):
    write_json(tmp_path / "file", {"a": [1, None, "ü"]})
    assert json.loads((tmp_path / "file").read_text(encoding="utf-8")) == {"a": [1, None, "ü"]}
    with pytest.raises(TypeError):
        write_json(tmp_path / "file", {"a": object()})
