"""The protocol is plain data with a version, as records and floors store it."""

import json

from ssl_patches.evaluation.protocol import HELD_OUT, PROTOCOL, STRENGTHS


def test_it_survives_json_and_owns_the_numbers_of_the_linear_probe():
    assert json.loads(json.dumps(PROTOCOL)) == PROTOCOL
    assert PROTOCOL["version"] == 2
    assert PROTOCOL["linear"]["strengths"] == list(STRENGTHS)
    assert PROTOCOL["linear"]["held_out"] == HELD_OUT
