"""The page escapes names, and asks nothing of any other place."""

import numpy as np
import torch

from ssl_patches.evaluation.duplicates.findings import Copies, Findings, Image
from ssl_patches.evaluation.duplicates.page import findings_page


def test_names_are_escaped_and_nothing_comes_from_elsewhere():
    images = [Image("<script>x</script>", "train"), Image("b", "train")]
    zeros = np.zeros(2)
    found = Findings([Copies(0, [1], [0.9])], [1], zeros, zeros, np.zeros(2, int))
    text = findings_page(
        images, found, lambda one: torch.zeros(3, 8, 8, dtype=torch.uint8), ["told"]
    )
    assert "<script" not in text
    assert "http:" not in text
    assert "https:" not in text
    assert text.count("data:image/webp") == 3
