"""What stands for another key is resolved, or told with key, value and remedy in our own words."""

from __future__ import annotations

import re

import pytest
from omegaconf import OmegaConf

from ssl_patches.config.resolved import plain


def test_a_value_that_stands_for_another_is_that_value():
    problems: list[str] = []
    assert plain(OmegaConf.create({"a": "${b.c}", "b": {"c": [1, 2]}}), "", problems) == {
        "a": [1, 2],
        "b": {"c": [1, 2]},
    }
    assert not problems


@pytest.mark.parametrize(
    "value", ["${x}", "a/${x.y}", "${env:HOME}", "${oc.env:NOWHERE}", "${data}", "${data.root}"]
)
def test_what_cannot_be_resolved_names_key_value_and_remedy(value):
    problems: list[str] = []
    plain(OmegaConf.create({"data": {"root": value}}), "", problems)
    assert len(problems) == 1
    assert problems[0].startswith(f"data.root={value}: ")
    assert "; set data.root=VALUE" in problems[0]
    assert not re.search("Interpolation key|Unsupported interpolation", problems[0])
