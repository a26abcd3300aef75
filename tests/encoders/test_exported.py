"""Reading an encoder: what is none of ours is refused, what changed is named."""

from __future__ import annotations

import json
import re

import pytest
from small import REPOSITORY

from ssl_patches.encoders.exported import (
    CARD,
    ExportMismatch,
    as_json,
    check_hashes,
    open_model,
    read_card,
    sha256,
)

EXPORT = REPOSITORY / "tests" / "fixtures" / "before_move" / "export"


def test_an_export_opens_with_its_preprocessing():
    found = open_model(str(EXPORT), pretrained=True)
    assert (found.image_size, len(found.mean), found.model.training) == (32, 3, False)
    assert found.cfg is not None


def test_a_folder_without_a_card_and_an_unknown_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must be an export of ssl_patches"):
        read_card(tmp_path)
    with pytest.raises(ValueError, match=r"model=resnet81: .* did you mean 'resnet"):
        open_model("resnet81", pretrained=False)


def test_a_run_without_an_encoder_says_how_to_give_it_one(tmp_path):
    (tmp_path / "config.yaml").touch()
    remedy = f"ssl-patches export model={tmp_path} output={tmp_path / 'encoder'}"
    with pytest.raises(ValueError, match=re.escape(remedy)):
        open_model(str(tmp_path), pretrained=True)


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
