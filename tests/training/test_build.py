"""The objects of a run follow from the configuration and its seed."""

from __future__ import annotations

import pytest
import torch
from small import SMALL

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training import build as build_run


def asked(*words: str) -> dict:
    return mixture.request([*SMALL, *words], supplied=SUPPLIED, schema=PRETRAIN)


def test_weights_of_encoder_and_heads_follow_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    found = [build_run.components(asked("task=jigsaw", f"seed={seed}")) for seed in (0, 0, 1)]
    assert torch.get_rng_state().equal(before), "building moves no generator"
    one, again, other = (built.parts[0].task.state_dict() for built in found)
    assert all(value.equal(again[key]) for key, value in one.items())
    assert not all(value.equal(other[key]) for key, value in one.items())


def test_what_is_no_callback_is_refused_by_its_key() -> None:
    node = {"_target_": "torch.nn.Identity"}
    with pytest.raises(ValueError, match=r"callbacks.mine=torch.nn.Identity: must be a"):
        build_run.observers({"callbacks": {"mine": node}})
    assert build_run.observers({"callbacks": None}) == []


def test_training_reads_from_a_cache_where_it_is_asked_for(tmp_path) -> None:
    plain = build_run.training_source(asked(), "train")
    cached = build_run.training_source(asked(f"data.cache={tmp_path}"), "train")
    assert type(cached).__name__ == "CachedSource"
    assert len(cached) == len(plain)
    assert cached.fingerprint() == plain.fingerprint()


def test_positions_are_compared_in_views_that_overlap_only() -> None:
    by_position = ("task=agree", "task.positions=true", "sampler=tokens")
    with pytest.raises(ValueError, match=r"set views=near_crops, or views.near=0.25"):
        build_run.components(asked(*by_position))
    for said in (["views=near_crops"], ["views=two_crops", "views.near=0.25"]):
        assert build_run.components(asked(*by_position, *said)).parts[0].task.overlap
