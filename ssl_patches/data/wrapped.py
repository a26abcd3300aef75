"""Pass a source on: somebody else's class, or one of ours that a wrapper adds to.

What a class lacks has the defaults of ``ImageSource``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ssl_patches.data.source import Damage, HasMasks, ImageSource, Item


class _Lent:
    """An attribute of ``ImageSource`` that is the wrapped source's own, or the default."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Any, owner: type) -> Any:
        default = getattr(ImageSource, self.name, None)
        return default if wrapper is None else getattr(wrapper.source, self.name, default)


class WrappedSource(ImageSource):
    """Another source passed on; what a class of somebody else's lacks has the defaults.

    Attributes that ``ImageSource`` does not know are those of ``source``.
    """

    labels: Any = _Lent()
    classes: Any = _Lent()
    paths: Any = _Lent()
    root: Any = _Lent()
    split_rule: Any = _Lent()
    load_size: Any = _Lent()
    known_as: Any = _Lent()
    boxes: Any = _Lent()
    blocks: Any = _Lent()
    mixed: Any = _Lent()
    remarks: Any = _Lent()
    reads_apart: Any = _Lent()

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Item:
        return self.source[index]

    def fingerprint(self) -> str:
        """Return that of ``source``."""
        return getattr(self.source, "fingerprint", super().fingerprint)()

    def former_fingerprint(self) -> str:
        """Return that of ``source``."""
        return getattr(self.source, "former_fingerprint", self.fingerprint)()

    def kept_key(self) -> str:
        """Return that of ``source``."""
        return getattr(self.source, "kept_key", self.fingerprint)()

    def label_key(self) -> str:
        """Return that of ``source``."""
        return getattr(self.source, "label_key", super().label_key)()

    def unreadable(self) -> Damage:
        """Return those of ``source``."""
        return getattr(self.source, "unreadable", super().unreadable)()

    def changed_since(self, moment: float) -> Sequence[str]:
        """Return those of ``source``."""
        return getattr(self.source, "changed_since", super().changed_since)(moment)

    def fill_cache(self, *, num_workers: int) -> None:
        """Fill the cache of ``source``."""
        getattr(self.source, "fill_cache", super().fill_cache)(num_workers=num_workers)

    def expect(self, blocks: Sequence[int]) -> None:
        """Tell ``source`` which blocks are read next."""
        getattr(self.source, "expect", super().expect)(blocks)

    def __getattr__(self, name: str) -> Any:
        # asked while this is being unpickled, before there is a source
        if name == "source" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.source, name)


class WrappedWithMasks(WrappedSource):
    """Another source passed on that knows the class of every pixel."""

    mask_classes: Any = _Lent()
    objects: Any = _Lent()

    def mask(self, index: int) -> Tensor:
        """Return the ids of image ``index`` as ``source`` does, (H, W), -1 = unlabelled."""
        return self.source.mask(index)


def as_source(found: Any) -> ImageSource:
    """Return ``found``, wrapped where its class does not derive from ``ImageSource``."""
    if isinstance(found, ImageSource):
        return found
    return WrappedWithMasks(found) if isinstance(found, HasMasks) else WrappedSource(found)
