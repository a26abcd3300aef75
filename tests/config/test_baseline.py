"""The baseline with labels is named in settings, and found again."""

from __future__ import annotations

from ssl_patches.config.baseline import TARGET, instead_of_task, is_supervised
from ssl_patches.config.instantiate import locate


def test_the_baseline_takes_the_place_of_a_task_or_of_parts_and_is_recognised():
    cfg = {
        "task": {"_target_": "a.B"},
        "sampler": {},
        "parts": {},
        "callbacks": {"x": 1},
        "seed": 0,
    }
    assert not is_supervised(cfg)
    found = instead_of_task(cfg)
    assert is_supervised(found)
    assert found == {"seed": 0, "task": {"_target_": TARGET}, "callbacks": {}}


def test_its_path_leads_to_the_class():
    assert locate(TARGET).__name__ == "Supervised"


def test_its_random_weights_keep_no_statistics():
    encoder = {"name": "resnet10t", "fixed_statistics": True}
    found = instead_of_task({"task": {}, "encoder": encoder})
    assert found["encoder"] == {"name": "resnet10t"}
