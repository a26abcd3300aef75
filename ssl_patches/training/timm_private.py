"""Reach into the one thing of timm that has no setting: the precision of Muon's products.

timm multiplies in bf16, which a CPU without such arithmetic emulates: there a step took 15 times as
long as in fp32, longer than forward and backward together. A new version of timm is looked at here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import timm.optim.muon as of_timm
import torch


class Fp32Muon(of_timm.Muon):
    """timm's Muon whose products are in fp32."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take a step, as timm's."""
        products = of_timm.zeropower_via_newtonschulz
        of_timm.zeropower_via_newtonschulz = partial(products, dtype=torch.float32)
        try:
            return super().step(closure)
        finally:
            of_timm.zeropower_via_newtonschulz = products
