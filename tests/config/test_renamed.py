"""Paths of before the move find the classes of today, and keys of studies stay what they were."""

from __future__ import annotations

import pytest

from ssl_patches.config.instantiate import locate
from ssl_patches.config.renamed import current, with_current_names, with_former_names

TREE = {
    "optimizer": {"_target_": "ssl_patches.optim.AdamW", "lr": 1},
    "parts": [{"_target_": "a.B"}],
}


def test_a_former_path_becomes_that_of_today_and_others_stay():
    assert current("ssl_patches.optim.AdamW") == "ssl_patches.training.optim.AdamW"
    assert current("ssl_patches.optimal.Thing") == "ssl_patches.optimal.Thing"


def test_every_target_of_a_tree_is_renamed_and_nothing_else():
    now = with_current_names(TREE)
    assert now["optimizer"] == {"_target_": "ssl_patches.training.optim.AdamW", "lr": 1}
    assert now["parts"] == TREE["parts"]
    assert with_former_names(now) == TREE


@pytest.mark.parametrize(
    ("former", "today"),
    [
        ("ssl_patches.optim.AdamW", "ssl_patches.training.optim.AdamW"),
        ("ssl_patches.trainer.TrainerSettings", "ssl_patches.training.settings.TrainerSettings"),
        ("ssl_patches.colour.ColourTreatment", "ssl_patches.sampler.ColourTreatment"),
        ("ssl_patches.loggers.wandb_logger", "ssl_patches.training.loggers.wandb_logger"),
    ],
)
def test_both_paths_lead_to_the_same_class(former, today):
    assert locate(former) is locate(today)
