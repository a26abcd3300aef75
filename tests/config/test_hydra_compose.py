"""Composing once and setting values is composing with them, on the files that we ship."""

from __future__ import annotations

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ssl_patches.config.files import conf_dir
from ssl_patches.config.hydra_compose import composed, state_of, with_values


@pytest.mark.parametrize(
    "values",
    [
        ["seed=3", "data.root=/somewhere", "budget.images=null"],
        ["encoder.options={depth: 2}", "++encoder.options.more={a: [1, b]}"],
        ["evaluation.probes=[knn,linear]", "data.root='with spaces, and more'"],
        ["data.batch_size=16", "data.batch_size=32", "image_size=${data.batch_size}"],
        ["++optimizer.base_lr=1e-3", "run_dir=runs/${seed}"],
    ],
)
def test_values_set_on_what_choices_compose_to_are_what_hydra_makes_of_both(values):
    folders, choices = (conf_dir(),), ("task=masked", "encoder=vit_nano", "data=folder")
    both = composed("pretrain", folders, (*choices, *values))
    assert with_values(composed("pretrain", folders, choices), values) == both


@pytest.mark.parametrize("value", ["+seed=3", "~seed", "nobody=3", "seed=[", "budget@x=3"])
def test_what_is_no_plain_value_is_left_to_hydra(value):
    tree = composed("pretrain", (conf_dir(),), ())
    with pytest.raises((HydraException, OmegaConfBaseException, ValueError)):
        with_values(tree, [value])


def test_a_file_that_changes_is_composed_anew(tmp_path):
    place = tmp_path / "pretrain.yaml"
    place.write_text("rate: 1\n")
    before = state_of([tmp_path])
    assert state_of([tmp_path]) == before
    place.write_text("rate: 10\n")
    assert state_of([tmp_path]) != before
