"""Read images from sources. An item is (uint8 (C, S, S), label with -1 = none, index of the
image shown)."""

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode
from ssl_patches.data.embedded import EmbeddedSource
from ssl_patches.data.folder import FolderSource
from ssl_patches.data.huggingface import HuggingFaceSource
from ssl_patches.data.items import ItemSource
from ssl_patches.data.manifest import ManifestSource
from ssl_patches.data.masks import MaskFolder, WithMasks
from ssl_patches.data.sharded import ShardSource
from ssl_patches.data.source import ImageSource
from ssl_patches.data.torchvision import TorchvisionSource
from ssl_patches.data.windows import WindowSource

__all__ = [
    "EmbeddedSource",
    "FolderSource",
    "HuggingFaceSource",
    "ImageSource",
    "ItemSource",
    "ManifestSource",
    "MaskFolder",
    "ShardSource",
    "TorchvisionSource",
    "UnreadableImage",
    "WindowSource",
    "WithMasks",
    "decode",
]
