"""A small picture keeps within its side, whatever the channels."""

import io

import pytest
import torch
from PIL import Image

from ssl_patches.evaluation.duplicates.thumbnails import webp


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_picture_of_any_channels_is_small(channels):
    pixels = torch.zeros(channels, 200, 100, dtype=torch.uint8)
    assert Image.open(io.BytesIO(webp(pixels))).size == (48, 96)
