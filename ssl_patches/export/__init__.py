"""Write the encoder in formats that load without ssl_patches, proven in processes of their own.

``ssl_patches.export(model=..., output=...)`` is the command as a function. The import system gives
that name to this package as soon as anything below it is imported, so the package itself can be
called.
"""

import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_patches.encoders.exported import ExportMismatch, check_hashes, load_timm_folder, read_card
from ssl_patches.encoders.network import Preprocessing
from ssl_patches.export.exportable import Exportable, ExportRequest
from ssl_patches.export.proof import Proof, verify
from ssl_patches.export.write import add_results, export_encoder, export_model

Wanted = ExportRequest
"""Former name."""

__all__ = [
    "ExportMismatch",
    "ExportRequest",
    "Exportable",
    "Preprocessing",
    "Proof",
    "Wanted",
    "add_results",
    "check_hashes",
    "export_encoder",
    "export_model",
    "load_timm_folder",
    "read_card",
    "verify",
]


class _Callable(types.ModuleType):
    def __call__(
        self,
        *,
        model: str | os.PathLike[str],
        output: str | os.PathLike[str],
        data: Any = None,
        say: Callable[[str], None] = print,
        **keys: Any,
    ) -> Path:
        """Export a run, as ``ssl_patches.export.command.export`` does."""
        from ssl_patches.export.command import export

        return export(model=model, output=output, data=data, say=say, **keys)


sys.modules[__name__].__class__ = _Callable
