"""A task and an encoder for ssl_patches, found by its entry point."""

from patch_counting.encoder import vit_registers
from patch_counting.task import Counting

__all__ = ["Counting", "vit_registers"]
