"""Load torchmetrics and timm without what comes along and no run uses: four of ten CPU seconds.

Lightning loads torchmetrics, and that loads scipy.signal, matplotlib's pyplot and transformers
wherever they are installed, for metrics of sound and text; timm loads wandb in the same way. They
ask the import system whether these are there, so for the moment of the import they are not: a
finder of Python's own kind (``importlib.abc.MetaPathFinder``) stands before the others, and is
taken away again. Nothing of the packages is changed; afterwards all can be imported as ever.

The trap: torchmetrics remembers the answer, so its metrics of sound and text and its plots refuse
in this process. Therefore only commands do this, and only where every class that they were asked
for is ours; a callback of somebody else's may want all of torchmetrics.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.metadata import PackageNotFoundError
from typing import Any

LEFT_OUT = {"torchmetrics": ("matplotlib", "scipy", "transformers"), "timm": ("wandb",)}
"""Package -> what it would load beside itself."""
OURS = ("ssl_patches.", "lightning.")


class Absent(MetaPathFinder):
    """A finder that answers for packages by name: they are not installed."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse the named packages by ModuleNotFoundError; find nothing else."""
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{name} is left out for a moment", name=name)

    def find_distributions(self, context: Any) -> Iterator[Any]:
        """Refuse their versions by PackageNotFoundError; find nothing else."""
        if context.name in self.names:
            raise PackageNotFoundError(context.name)
        return iter(())


@contextmanager
def absent(names: Sequence[str]) -> Iterator[None]:
    """Make packages seem not to be installed for the block, but for those that are loaded."""
    finder = Absent([name for name in names if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def load_lean(cfg: Mapping[str, Any]) -> bool:
    """Load torchmetrics and timm, and tell whether what they bring was left out.

    ``cfg``: a checked request. Everything comes where it names a class that is not ours, and where
    torchmetrics is loaded already.
    """
    if "torchmetrics" in sys.modules or not all(
        target.startswith(OURS) for target in named_classes(cfg)
    ):
        return False
    for package, names in LEFT_OUT.items():
        with absent(names):
            importlib.import_module(package)
    return True


def named_classes(node: Any) -> Iterator[str]:
    """Yield every ``_target_`` of a configuration."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from named_classes(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from named_classes(value)
