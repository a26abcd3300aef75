"""Getting the encoder out: a folder that timm loads without ssl_patches, proven in a process of its own."""

from ssl_patches.export.proof import Proof, export_encoder, prove, reference_images, verify
from ssl_patches.export.timm_folder import ExportMismatch, check_hashes, load_timm_folder, read_card, write_timm_folder

__all__ = [
    "ExportMismatch",
    "Proof",
    "check_hashes",
    "export_encoder",
    "load_timm_folder",
    "prove",
    "read_card",
    "reference_images",
    "verify",
    "write_timm_folder",
]
