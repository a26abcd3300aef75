"""YAML is found in our folder, the user's and those of installed packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_conf import install, write

from ssl_patches.config import compose
from ssl_patches.config import files as conf_files
from ssl_patches.config.files import options


@pytest.fixture(autouse=True)
def conf(tmp_path, monkeypatch) -> Path:
    return install(tmp_path, monkeypatch)


def test_a_name_is_described_by_the_comment_its_file_begins_with(conf):
    write(
        conf,
        {
            "experiment/told": "# @package _global_\n# A small one.\nseed: 1",
            "experiment/bare": "seed: 1",
        },
    )
    assert conf_files.with_comments("experiment") == [
        ("bare", ""),
        ("small", ""),
        ("told", "A small one."),
    ]


def test_an_installed_package_adds_names_by_its_entry_point(tmp_path, monkeypatch):
    write(tmp_path / "acme_toy" / "conf", {"task/colour": "_target_: conf_toys.Position"})
    (tmp_path / "acme_toy" / "__init__.py").write_text("raise SystemExit('imported')")
    about = tmp_path / "acme_toy-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme_toy\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[ssl_patches.conf]\nacme = acme_toy.conf\n")
    assert "colour" in options("task")
    assert compose("pretrain", ["task=colour"])["task"]["_target_"] == "conf_toys.Position"
