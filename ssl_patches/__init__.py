"""Pretrain image encoders on patches, without labels.

``ssl_patches.pretrain(data="my_images", task="masked")``, ``evaluate``, ``export`` and
``load_encoder`` are the commands as functions. They are imported when they are asked for: ``import
ssl_patches`` loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ssl_patches.config.version import __version__

if TYPE_CHECKING:
    from ssl_patches.evaluation.command import evaluate
    from ssl_patches.export.command import export
    from ssl_patches.export.load import load_encoder
    from ssl_patches.training.command import pretrain

__all__ = ["__version__", "evaluate", "export", "load_encoder", "pretrain"]


COMMANDS = {
    "pretrain": "ssl_patches.training.command",
    "evaluate": "ssl_patches.evaluation.command",
    "load_encoder": "ssl_patches.export.load",
}
"""Function -> the module that it is imported from when it is asked for."""


def __getattr__(name: str) -> Any:
    import importlib

    if (
        name == "export"
    ):  # a package that can be called: importing anything below it sets this name too
        return importlib.import_module("ssl_patches.export")
    if name in COMMANDS:
        return getattr(importlib.import_module(COMMANDS[name]), name)
    raise AttributeError(f"module 'ssl_patches' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
