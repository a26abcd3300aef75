"""The lists of keys agree with each other."""

from __future__ import annotations

from ssl_patches.config import schema


def test_a_command_lists_no_key_that_the_program_gives():
    for group, names in schema.SUPPLIED.items():
        kind = schema.PRETRAIN.get(group)
        assert not (isinstance(kind, dict) and names & set(kind)), group


def test_images_have_three_channels_unless_they_say():
    assert schema.channels_of({"data": {}}) == 3
    assert schema.channels_of({"data": {"channels": None}}) == 3
    assert schema.channels_of({"data": {"channels": 5}}) == 5
