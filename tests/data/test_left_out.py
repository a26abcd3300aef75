"""What is not used is told in few lines."""

from __future__ import annotations

from ssl_patches.data.left_out import LeftOut, said


def test_remarks_are_short() -> None:
    lines = said([LeftOut(2, "images", f"{at}.png", "why") for at in range(20)])
    assert len(lines) == 13
    assert lines[0] == "2 images (0.png, ...) not used: why"
    assert "8 more" in lines[-1]
