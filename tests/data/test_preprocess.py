"""However an image is given, an encoder gets the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches.data.preprocess import Preprocess

PREPROCESS = Preprocess(image_size=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))


def test_a_file_a_picture_an_array_and_a_tensor_are_one_image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = [
        PREPROCESS(given)
        for given in (
            tmp_path / "a.png",
            str(tmp_path / "a.png"),
            Image.fromarray(pixels),
            pixels,
            torch.from_numpy(pixels).permute(2, 0, 1),
        )
    ]
    wanted = (
        torch.from_numpy(pixels).permute(2, 0, 1) / 255
        - torch.tensor(PREPROCESS.mean).view(3, 1, 1)
    ) / torch.tensor(PREPROCESS.std).view(3, 1, 1)
    for image in found:
        assert torch.allclose(image, wanted, atol=1e-6)
        assert torch.equal(image, found[0])


def test_the_central_square_is_taken():
    pixels = np.zeros((8, 20, 3), dtype=np.uint8)
    pixels[:, 6:14] = 255
    assert (PREPROCESS(pixels) > 0).all()


def test_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="one axis must have that length"):
        PREPROCESS(np.zeros((8, 8, 4), dtype=np.uint8))
