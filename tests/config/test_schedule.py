"""Schedules rise, hold and fall as their papers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_patches.config.schedule import warmup_cosine, warmup_stable_decay
from ssl_patches.training.optim import AdamW

SHARES = st.floats(0.0, 0.5)


@given(warmup=SHARES, cooldown=st.floats(0.01, 0.5), progress=st.floats(0.0, 1.0))
def test_both_stay_between_zero_and_the_peak(warmup, cooldown, progress):
    assert 0 <= warmup_cosine(progress, warmup) <= 1
    assert 0 <= warmup_stable_decay(progress, warmup, cooldown) <= 1


@given(warmup=SHARES, cooldown=st.floats(0.01, 0.5))
def test_the_stable_one_rises_holds_the_peak_and_ends_at_zero(warmup, cooldown):
    rate = [warmup_stable_decay(step / 200, warmup, cooldown) for step in range(201)]
    held = [step for step in range(201) if warmup <= step / 200 <= 1 - cooldown]
    assert all(rate[step] == pytest.approx(1) for step in held)
    assert rate[: held[0]] == sorted(rate[: held[0]])
    assert rate[held[-1] :] == sorted(rate[held[-1] :], reverse=True)
    assert rate[-1] == pytest.approx(0)


def test_the_fall_is_one_minus_a_square_root():
    assert warmup_stable_decay(0.8, 0.05, 0.2) == pytest.approx(1)
    assert warmup_stable_decay(0.85, 0.05, 0.2) == pytest.approx(0.5)  # a quarter of the fall
    assert warmup_stable_decay(1.0, 0.05, 0.2) == pytest.approx(0)


def test_a_cooldown_takes_the_place_of_the_cosine_and_none_leaves_it():
    assert AdamW(cooldown=0.2).lr_multiplier(0.5) == 1
    assert AdamW().lr_multiplier(0.5) == warmup_cosine(0.5, 0.05) < 1


@given(images=st.floats(0.1, 0.7), cooldown=st.floats(0.05, 0.3))
def test_a_copy_of_a_long_run_cools_down_from_the_rate_that_it_had(images, cooldown):
    """At ``images`` of the long budget's share the copy's smaller budget begins to fall."""
    assert warmup_stable_decay(images, 0.05, cooldown) == pytest.approx(1)
    smaller = images / (1 - cooldown)
    assert warmup_stable_decay(images / smaller, 0.05, cooldown) == pytest.approx(1, abs=1e-6)
    assert warmup_stable_decay(1.0, 0.05, cooldown) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("cooldown", [-0.1, 0.96, float("nan")])
def test_a_cooldown_that_the_warm_up_leaves_no_room_for_is_refused(cooldown):
    with pytest.raises(ValueError, match=r"optimizer.cooldown=.*from 0 to 0.95.*set"):
        AdamW(warmup=0.05, cooldown=cooldown)
