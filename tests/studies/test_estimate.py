"""A study's cost is measured once per configuration, and scaled to each budget."""

from __future__ import annotations

from ssl_patches.studies import estimate

CFG = {
    "seed": 0,
    "budget": {"images": 64, "epochs": None, "flops": None, "seconds": None},
    "optimizer": {},
    "data": {"batch_size": 16},
}


def test_seeds_and_budgets_share_one_measurement(monkeypatch):
    measured = []

    def measure(cfg):
        measured.append(cfg)
        return 1e6, 0.01, 100

    monkeypatch.setattr(estimate, "_measure", measure)
    estimator = estimate.Estimator()
    first = estimator(CFG)
    assert (first.images, first.flops, first.seconds) == (64, 64e6, 0.64)
    second = estimator({**CFG, "seed": 1, "budget": {**CFG["budget"], "images": 128}})
    assert second.images == 128
    timed = {**CFG["budget"], "images": None, "seconds": 5.0}
    assert estimator({**CFG, "budget": timed}).images == 500
    assert len(measured) == 1
    estimator({**CFG, "image_size": 64})
    assert len(measured) == 2
