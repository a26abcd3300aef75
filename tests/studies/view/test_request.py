"""What is wrong with a request is told at once, and before anything is read."""

from __future__ import annotations

import pytest

from ssl_patches.config.messages import BadRequest
from ssl_patches.studies.view.request import view_request


def test_every_mistake_is_told_at_once():
    words = ["nowhere", "port=99999", "images=3", "seconds=0", "data.root=DIR"]
    with pytest.raises(BadRequest) as told:
        view_request(words, config_dirs=[])
    begins = [problem.partition(":")[0] for problem in told.value.problems]
    assert begins == ["view nowhere", "port=99999", "seconds=0", "images=3"]


@pytest.mark.parametrize("places", [[], ["a", "b"]])
def test_one_place_is_taken(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRequest, match="takes one run, study or folder"):
        view_request(places, config_dirs=[])


def test_an_unknown_setting_is_told_beside_a_place_that_is_not_there():
    with pytest.raises(BadRequest) as told:
        view_request(["nowhere", "prot=1"], config_dirs=[])
    assert "nowhere" in told.value.problems[0]
    assert "did you mean 'port'" in told.value.problems[1]


def test_a_folder_may_be_called_like_a_setting_and_changes_of_data_stay_apart(tmp_path):
    (tmp_path / "port=3").mkdir()
    asked = view_request([str(tmp_path / "port=3"), "data.root=a b"], config_dirs=[])
    assert asked.place == tmp_path / "port=3"
    assert asked.cfg["port"] == 0
    assert list(asked.changes) == ["data.root=a b"]
