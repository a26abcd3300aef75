"""A probe says what it needs by its class, and must define what it measures."""

import pytest

from ssl_patches.evaluation.probes.base import Probe


class Constant(Probe):
    """The same for every image."""

    def rows(self, inputs):
        return []


def test_what_is_not_said_is_asked_of_labelled_images_and_of_networks_only(tmp_path):
    probe = Constant()
    assert (probe.wants, probe.pixels, probe.cuts) == ("labels", False, False)
    assert not probe.reads
    assert not probe.protocol
    assert probe.draw(tmp_path, [], None, None) == []


def test_a_probe_that_measures_nothing_is_named():
    with pytest.raises(NotImplementedError, match="Probe: a probe must define rows"):
        Probe().rows(None)
