"""A batch of views that this machine cannot hold is refused before anything is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_patches.training.memory import BYTES, check_batch, physical_memory


def settings(side: int, batch: int, channels: int | None = None) -> dict[str, Any]:
    return {"image_size": side, "data": {"batch_size": batch, "channels": channels}}


@given(side=st.integers(1, 300), batch=st.integers(1, 64), channels=st.sampled_from([None, 1, 7]))
def test_what_fits_exactly_is_taken_and_one_byte_less_is_refused(side, batch, channels):
    needed = BYTES * side**2 * batch * (channels or 3)
    check_batch(settings(side, batch, channels), memory=needed)
    with pytest.raises(ValueError, match=f"image_size={side}, data.batch_size={batch}: "):
        check_batch(settings(side, batch, channels), memory=needed - 1)


def test_the_remedy_is_a_batch_that_fits_or_a_smaller_view():
    with pytest.raises(ValueError, match=r"set data\.batch_size=5 or less"):
        check_batch(settings(100, 64), memory=5 * 3 * 100**2 * BYTES)
    with pytest.raises(ValueError, match="set image_size=224 or less"):
        check_batch(settings(16384, 1), memory=10**9)


def test_this_machine_has_memory():
    found = physical_memory()
    assert found is None or found > 10**8
