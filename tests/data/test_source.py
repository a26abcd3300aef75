"""What no source can deliver is refused, and what is asked decides the side of an item."""

from __future__ import annotations

import pytest

from ssl_patches.data.source import Request


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "test"}, "data.split=test: must be train or val"),
        ({"image_size": 0}, "image_size=0: must be at least 1 pixel"),
        ({"channels": 0}, "data.channels=0: must be at least 1"),
        ({"load_size": 31}, "load_size=31: must be at least image_size"),
    ],
)
def test_what_no_source_can_deliver_is_refused(changes: dict, said: str) -> None:
    usual = {"split": "train", "image_size": 32, "channels": 3, "load_size": None}
    assert Request(**usual).side([(50, 40)]) == 40
    assert Request(**usual | {"load_size": 48}).side([(50, 40)]) == 48
    with pytest.raises(ValueError, match=said):
        Request(**usual | changes)
