"""The card holds the hash of every file, and what made it."""

import json

import timm

from ssl_patches.encoders.exported import check_hashes, sha256
from ssl_patches.export.card import write_card


def test_it_names_every_file_by_its_hash_and_the_versions(tmp_path):
    (tmp_path / "weights").write_bytes(b"abc")
    write_card(tmp_path, {"task": "jigsaw", "versions": {"ours": "1"}})
    card = json.loads((tmp_path / "ssl_patches.json").read_text())
    assert card["files"] == {"weights": sha256(tmp_path / "weights")}
    assert card["task"] == "jigsaw"
    assert card["versions"]["timm"] == timm.__version__
    assert card["versions"]["ours"] == "1"
    check_hashes(tmp_path)
