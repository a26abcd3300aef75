"""Files of weights say what they are of; tests/encoders/test_pretrained.py loads each kind."""

from __future__ import annotations

import json

import pytest

from ssl_patches.encoders.weight_files import architecture_of, read_weights


def test_a_folder_names_its_network_and_a_file_does_not(tmp_path):
    (tmp_path / "run" / "encoder").mkdir(parents=True)
    named = {"architecture": "resnet18"}
    (tmp_path / "run" / "encoder" / "config.json").write_text(json.dumps(named))
    assert architecture_of(str(tmp_path / "run")) == "resnet18"
    assert architecture_of(str(tmp_path / "run" / "encoder")) == "resnet18"
    for content in ("{", "[]", '{"architecture": 3}'):
        (tmp_path / "config.json").write_text(content)
        assert architecture_of(str(tmp_path)) is None
    assert architecture_of(str(tmp_path / "weights.pth")) is None


def test_what_is_not_there_is_told_with_every_kind_that_may_be_named(tmp_path):
    with pytest.raises(ValueError, match=r"no such file, .*hf-hub:USER/NAME"):
        read_weights(str(tmp_path / "weights.pth"))
