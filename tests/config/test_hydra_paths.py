"""Hydra looks in several folders, also inside another Hydra program."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_conf import install, refused, write

from ssl_patches.config import compose
from ssl_patches.config.files import options
from ssl_patches.config.hydra_paths import hydra_in


@pytest.fixture(autouse=True)
def conf(tmp_path, monkeypatch) -> Path:
    return install(tmp_path, monkeypatch)


def test_a_users_folder_adds_names_and_wins_over_ours_also_by_a_relative_path(
    tmp_path, monkeypatch
):
    mine = write(
        tmp_path / "my conf",
        {"task/mine": "_target_: conf_toys.Position", "data/embedded": "_target_: x.Y"},
    )
    monkeypatch.chdir(tmp_path)
    for place in (mine, Path("my conf"), "./my conf"):
        found = compose("pretrain", ["task=mine"], config_dirs=[place])
        assert (found["task"]["_target_"], found["data"]["_target_"]) == (
            "conf_toys.Position",
            "x.Y",
        )
        assert options("task", config_dirs=[place]) == ["jigsaw", "mine", "position"]
    assert options("task") == ["jigsaw", "position"]
    assert "no such folder" in refused("task=mine", config_dirs=["nowhere"])[0]


def test_breaks_when_hydra_changes_its_table_of_plugins_or_its_state(conf):
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    with hydra_in([conf], conf):
        assert GlobalHydra.instance().hydra is not None
    assert GlobalHydra.instance().hydra is None
    assert any(each.__name__ == "Folders" for each in Plugins.instance().discover(SearchPathPlugin))


def test_compose_works_inside_another_hydra_program(conf):
    from hydra import compose as other
    from hydra import initialize_config_dir

    with initialize_config_dir(str(conf), version_base="1.3"):
        assert compose("pretrain", ["seed=4"])["seed"] == 4
        assert other("pretrain").seed == 0
