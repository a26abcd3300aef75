"""Make small pictures of images for pages: data that a page carries in itself."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image
from torch import Tensor

SIDE = 96  # pixels


def webp(pixels: Tensor, side: int = SIDE) -> bytes:
    """Return an image uint8 (C, H, W) as WebP of at most ``side`` pixels.

    Three channels are colour; of any other number the first is shown, as grey.
    """
    shown = pixels if len(pixels) == 3 else pixels[:1].expand(3, -1, -1)
    picture = Image.fromarray(np.ascontiguousarray(shown.permute(1, 2, 0).numpy()))
    picture.thumbnail((side, side))
    out = io.BytesIO()
    picture.save(out, "webp", quality=80)
    return out.getvalue()


def data_address(pixels: Tensor, side: int = SIDE) -> str:
    """Return an image uint8 (C, H, W) as a ``data:`` address, for a page without other files."""
    return f"data:image/webp;base64,{base64.b64encode(webp(pixels, side)).decode()}"
