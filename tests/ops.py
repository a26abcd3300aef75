"""What an eager step sends to its device, by name, and what of it makes a GPU wait."""

from __future__ import annotations

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SYNCS = (
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::unique_dim",
    "aten::_unique2",
    "aten::bincount",  # asks for the largest number
    "aten::repeat_interleave",  # of a tensor of counts; by a number it is none
)
PICKED = "picked by a mask"  # as aten::nonzero, which a call of index does inside


class Ops(TorchDispatchMode):
    """Counts what reaches the device, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        self.count[name] += 1
        if name in ("aten::index", "aten::index_put", "aten::index_put_"):
            masks = [at for at in args[1] if at is not None and at.dtype == torch.bool]
            self.count[PICKED] += len(masks)
        return func(*args, **(kwargs or {}))

    def syncs(self) -> list[str]:
        """Return the names of what waits for the device."""
        return [name for name in (*SYNCS, PICKED) if self.count[name]]
