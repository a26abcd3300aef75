"""Every number that the metrics of the roles depend on; stored with every record that has them."""

from __future__ import annotations

from typing import Any

NUMBERS: dict[str, Any] = {
    "train_images": 500,  # where no limit is set
    "test_images": 250,
    # each * each tiles, sides in shares of the image's
    "tiles": {"each": [1, 2, 3, 4], "scale": 0.5},
    "tile_scales": [0.25, 0.5, 0.75, 1.0],
    "input_factors": [0.5, 0.75, 1.0, 1.5],
    "relations": {"scale": 0.28, "seed": 0},
    "invariance": {"shift": 1 / 8, "zoom": 3 / 4, "crop": 1 / 2, "colour": 0.4, "seed": 0},
    "speed": {"batch": 16, "repeats": 5},
}
