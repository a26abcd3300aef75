"""What is said of a number of images goes with the number, and always ends in how to measure it."""

from __future__ import annotations

import pytest

from ssl_patches.data.enough import FEW, MANY, MEASURE, enough


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (1, "are few"),
        (FEW - 1, "are few"),
        (FEW, "unlike photographs"),
        (MANY - 1, "public weights lead"),
        (MANY, "seen to gain"),
    ],
)
def test_the_number_of_images_decides_what_to_try_first(images: int, says: str) -> None:
    said = enough(images)
    assert f"{images:,} images" in said
    assert says in said
    assert said.endswith(MEASURE)
