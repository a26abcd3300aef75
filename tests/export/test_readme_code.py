"""Everything that a model card's lines leave open is filled in."""

from __future__ import annotations

from string import Formatter

from ssl_patches.export import readme_code
from ssl_patches.export.readme import PARTS


def test_the_parts_ask_for_what_a_card_gives():
    given = {"features", "input", "transform", "source", "place", "further"}
    for text in PARTS.values():
        assert {name for _, name, _, _ in Formatter().parse(text) if name} <= given
    images = {"range", "channels", "height", "width", "mean", "std"}
    assert {name for _, name, _, _ in Formatter().parse(readme_code.BANDS) if name} == images
