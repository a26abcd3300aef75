"""What Hydra refuses is said in our words: breaks when Hydra words it otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_conf import install, refused, write


@pytest.fixture(autouse=True)
def conf(tmp_path, monkeypatch) -> Path:
    return install(tmp_path, monkeypatch)


def test_an_override_without_the_package_is_answered_with_the_line_that_works(conf):
    write(
        conf,
        {"task/wrong": "defaults: [{override /sampler: tokens}]\n_target_: conf_toys.Position"},
    )
    (problem,) = refused("task=wrong")
    assert "write 'override /sampler@_global_.sampler: NAME'" in problem


def test_a_group_of_another_command_is_refused():
    assert refused("model=x", "sampler=tokens", command="evaluate") == [
        "sampler: evaluate takes no sampler=; take it out (it takes: data)"
    ]


def test_mistakes_inside_yaml_are_named_with_their_file(conf):
    write(conf, {"experiment/typo": "# @package _global_\ndefaults: [{override /task: jigsw}]"})
    (problem,) = refused("experiment=typo")
    assert "experiment/typo.yaml" in problem
    assert "did you mean 'jigsaw'?" in problem
    write(conf, {"task/broken": "a: [1"})
    assert "broken.yaml" in refused("task=broken")[0]
