"""Getting the encoder out: formats that load without ssl_patches, proven in processes of their own."""

from ssl_patches.export.card import ExportMismatch, check_hashes, read_card
from ssl_patches.export.exportable import Exportable, Preprocessing, Wanted
from ssl_patches.export.proof import Proof, verify
from ssl_patches.export.timm_folder import load_timm_folder
from ssl_patches.export.write import add_results, export_encoder, export_model

__all__ = [
    "ExportMismatch",
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
