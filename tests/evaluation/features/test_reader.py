"""Images without files are named by split and number; test_embed.py has the rest."""

from ssl_patches.data import EmbeddedSource
from ssl_patches.evaluation.features.reader import image_name


def test_an_image_without_a_file_is_named_by_its_number():
    source = EmbeddedSource(split="train", image_size=32, count=4)
    assert image_name(source, "train", 2) == "train/2"
