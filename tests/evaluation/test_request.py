"""All that is wrong with a request to evaluate or embed is told at once."""

from __future__ import annotations

import pytest

from ssl_patches.config.messages import BadRequest
from ssl_patches.evaluation.request import embed_request, evaluate_request


@pytest.mark.parametrize("ask", [evaluate_request, embed_request])
def test_mistakes_in_keys_types_and_data_are_told_together(ask):
    words = ["model=x", "output=x", "batch_size=many", "data=embedded", "data.cout=3", "precison=x"]
    with pytest.raises(BadRequest) as caught:
        ask(words, config_dirs=[])
    told = str(caught.value)
    assert "batch_size=many: must be a whole number" in told
    assert "did you mean 'data.count'?" in told
    assert "did you mean 'precision'?" in told


def test_settings_come_back_checked():
    cfg = evaluate_request(["model=x", "batch_size=1e2"], config_dirs=[])
    assert cfg["batch_size"] == 100
    assert "data" not in cfg
