"""The figure has a panel per column that was measured, and bears the mark of our pictures."""

from curves import curve
from PIL import Image

from ssl_patches.config.pictures import MARK
from ssl_patches.evaluation.efficiency.figure import draw_curves


def test_a_panel_for_each_column(tmp_path):
    means = {1: 50.0, 10: 60.0, None: 70.0}
    curves = [curve(model, means) for model in ("trained", "mobilenet", "raw_pixels")]
    one = draw_curves(tmp_path / "a" / "one.png", curves, ours="trained", label="ours", title="t")
    more = [*curves, curve("trained", means, "knn"), curve("random_init", means, "scratch")]
    three = draw_curves(tmp_path / "three.png", more, ours="trained", label="ours", title="t")
    with Image.open(one) as small, Image.open(three) as wide:
        assert wide.width > 2 * small.width
        assert MARK.items() <= wide.text.items()
