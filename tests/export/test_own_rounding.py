"""A network that float32 computes less exactly is held to its own rounding, and to no more."""

from __future__ import annotations

import pytest
from networks import exportable
from torch import nn

from ssl_patches.export.exportable import Exportable
from ssl_patches.export.own_rounding import APART, own_rounding, tolerance_of
from ssl_patches.export.rounding import MOST, TOLERANCES

USUAL = TOLERANCES["fp32"]


class Cancelling(nn.Module):
    """Adds a large number before the network and takes it away after: digits are lost."""

    def __init__(self, model, size):
        super().__init__()
        self.model, self.size = model, size

    def forward_features(self, image):
        return (self.model.forward_features(image) + self.size) - self.size

    def forward_head(self, final):
        return self.model.forward_head(final)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_an_ordinary_network_is_held_to_the_usual_tolerance(name):
    assert 0 < own_rounding(exportable(name)) < USUAL / APART
    assert tolerance_of(exportable(name), USUAL) == USUAL


def test_what_float32_loses_is_allowed_and_bounded(monkeypatch):
    plain, found = Exportable.at, []
    for size in (1e3, 1e4, 1e6):
        monkeypatch.setattr(
            Exportable, "at", lambda self, at, by=size: Cancelling(plain(self, at), by)
        )
        found.append(tolerance_of(exportable("resnet"), USUAL))
    assert USUAL < found[0] < found[1] <= found[2] == pytest.approx(MOST * USUAL)
