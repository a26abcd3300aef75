"""Completion offers what may be typed next, from the YAML that is shipped and that of the user."""

from __future__ import annotations

import pytest

from ssl_patches.cli.completion import complete


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pretrain", "task=jig"], ["task=jigsaw"]),
        (["pretrain", "encoder=vit_ti"], ["encoder=vit_tiny", "encoder=vit_tiny_6"]),
        (["pretrain", "run_d"], ["run_dir="]),
        (["pretrain", "task=masked", "task.mask_r"], ["task.mask_ratio="]),
        (["pretrain", "budget.fl"], ["budget.flops="]),
        (["pretrain", "nonsense.x"], []),
        (["nonsense", "x"], []),
    ],
)
def test_what_may_follow_is_offered(words, offered):
    assert complete(words) == offered


def test_names_of_the_users_folder_are_offered(tmp_path):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mosaic.yaml").write_text("_target_: mine.Mosaic\n")
    words = ["pretrain", "--config-dir", str(tmp_path), "task=mo"]
    assert complete(words) == ["task=mosaic"]
