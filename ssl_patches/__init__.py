"""Self-supervised pretraining on image patches.

``ssl_patches.pretrain(data="my_images", task="masked")``, ``evaluate``, ``export`` and ``load_encoder`` are the commands
as functions, see ``api.py``. They are imported when they are asked for: ``import ssl_patches`` loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_patches.api import evaluate, export, load_encoder, pretrain

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "export", "load_encoder", "pretrain"]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "export":  # a package that can be called: importing anything below it sets this name too
        return importlib.import_module("ssl_patches.export")
    if name in __all__:
        return getattr(importlib.import_module("ssl_patches.api"), name)
    raise AttributeError(f"module 'ssl_patches' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
