"""A mask holds class ids, as they are stored: neither colours nor numbers of objects."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data.mask_files import found_ids, ids_of


def test_a_coloured_mask_is_refused_rather_than_read_as_grey(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="colours, not class ids"):
        ids_of(str(tmp_path / "a.png"))


@pytest.mark.parametrize(("most", "instances"), [(9, False), (60, True), (300, True)])
def test_masks_that_number_objects_are_no_classes(
    tmp_path: Path, most: int, instances: bool
) -> None:
    for at in range(4):
        for side in ("images", "masks"):
            (tmp_path / "train" / side).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "train" / "images" / f"{at}.png")
        ids = np.arange(400).reshape(20, 20) % (most - at)
        Image.fromarray(ids.astype(np.uint16)).save(tmp_path / "train" / "masks" / f"{at}.png")
    if not instances:
        assert found_ids(str(tmp_path / "train")) == set(range(most))
        return
    with pytest.raises(ValueError, match=r"data.root: the masks of .* number the objects"):
        found_ids(str(tmp_path / "train"))
