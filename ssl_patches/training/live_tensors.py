"""Count the bytes of tensors that are alive while operations run, on any device.

It stands on torch's dispatch mode, which torch documents under "extending PyTorch" and yet keeps in
a private module (``torch.utils._python_dispatch``): no public one sees every tensor that an
operation returns. ``tests/training/test_live_tensors.py`` fails where it has moved.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class LiveTensorMode(TorchDispatchMode):
    """A context in which ``course`` records the bytes of new tensors that are alive.

    One entry after each operation that makes some. What was there before is not counted, though
    an operation in place returns it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now, self.course = 0, [0]
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and count the storages that it brings."""
        for tensor in _tensors((args, kwargs or {})):
            self._count(tensor.untyped_storage(), size=0)
        result = function(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if self._count(storage, size=storage.nbytes()):
                self.course.append(self.now)
        return result

    def _count(self, storage: torch.UntypedStorage, *, size: int) -> bool:
        """Add ``size`` bytes until the storage is freed; False where it is known already."""
        key = storage.data_ptr()  # of storages that are alive no two have the same
        if key in self._known:
            return False
        self._known.add(key)
        self.now += size
        weakref.finalize(storage, self._drop, key, size)
        return True

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _tensors(tree: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and mappings."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _tensors(value)
