"""A number inside its bounds passes, the bounds included; one outside is named with a remedy."""

from __future__ import annotations

import pytest

from ssl_patches.config.bounds import check_bounds


@pytest.mark.parametrize("value", [1, 4096, 8.5])
def test_bounds_belong_to_what_is_allowed(value: float):
    check_bounds("data", [("mixed", value, 1, 4096, 8)])


@pytest.mark.parametrize("value", [0.999, 4097, float("nan"), float("inf")])
def test_what_is_outside_is_refused_with_key_value_rule_and_remedy(value: float):
    with pytest.raises(ValueError, match=rf"data\.mixed={value}: must be 1 to 4096; set.*mixed=8"):
        check_bounds("data", [("mixed", value, 1, 4096, 8)])
