"""``callbacks=none`` is none, whatever a recipe says of callbacks; a wrong name among others is
told."""

from __future__ import annotations

import pytest
from small import REPOSITORY

from ssl_patches import config
from ssl_patches.config.callback_settings import without_absent
from ssl_patches.config.messages import BadRequest

RECIPES = sorted(path.stem for path in (REPOSITORY / "conf" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_recipe_brings_callbacks_back(recipe):
    words = [f"experiment={recipe}", "data=folder", "data.root=x", "callbacks=none"]
    found = config.compose("pretrain", words)
    assert found["callbacks"] == {}


def test_settings_of_what_is_not_there_are_told_where_others_are():
    node = {"health": {"_target_": "a.Health"}, "preview": {"among": 5}}
    with pytest.raises(BadRequest) as told:
        without_absent({"callbacks": node})
    (problem,) = told.value.problems
    assert problem.startswith("callbacks.preview: has no _target_")
    assert "health" in problem


def test_what_is_whole_stays():
    for node in ({"a": {"_target_": "b.C"}}, {}, None, "word"):
        assert without_absent({"callbacks": node, "x": 1}) == {"callbacks": node, "x": 1}
