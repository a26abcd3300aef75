"""Reading an export: what is none of ours is refused, what changed is named."""

from __future__ import annotations

import json

import pytest

from ssl_patches.encoders.exported import (
    CARD,
    ExportMismatch,
    as_json,
    check_hashes,
    read_card,
    sha256,
)


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be an export of ssl_patches"):
        read_card(tmp_path)


def test_a_file_that_changed_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / CARD).write_text(json.dumps({"files": {"a.txt": sha256(tmp_path / "a.txt")}}))
    check_hashes(tmp_path)
    (tmp_path / "a.txt").write_text("two")
    with pytest.raises(ExportMismatch, match=r"a\.txt has changed"):
        check_hashes(tmp_path)


def test_what_is_no_json_is_refused_by_its_key():
    with pytest.raises(ValueError, match=r"export\.card="):
        as_json(float("nan"), "export.card")
