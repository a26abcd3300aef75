"""Share what several tests of evaluation look at."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def streets(tmp_path):
    """A folder of images and masks, split as CamVid is; a street is dark on the left."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 3), ("test", 6)):
        for side in ("images", "masks"):
            (tmp_path / "streets" / split / side).mkdir(parents=True)
        for at in range(count):
            edge = draw.integers(10, 40)
            mask = (np.arange(48) >= edge).astype(np.uint8)[None].repeat(36, 0)
            image = 120 * mask[..., None] + draw.integers(0, 100, (36, 48, 3))
            mask[:4] = 11
            Image.fromarray(image.astype(np.uint8)).save(
                tmp_path / "streets" / split / "images" / f"{at}.png"
            )
            Image.fromarray(mask).save(tmp_path / "streets" / split / "masks" / f"{at}.png")
    (tmp_path / "streets" / "classes.txt").write_text(
        "".join(f"{label} class {label}\n" for label in range(12))
    )
    return tmp_path / "streets"
