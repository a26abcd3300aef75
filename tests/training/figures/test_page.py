"""Pages of small images: what is shown, framed and saved."""

from __future__ import annotations

import torch
from matplotlib.image import imread

from ssl_patches.training.figures.page import FRAME, Arrow, Column, displayed, framed, save_page


def test_any_number_of_channels_is_shown_as_three() -> None:
    assert displayed(torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)).equal(torch.ones(2, 3, 4, 4))
    five = torch.rand(2, 5, 4, 4)
    assert displayed(five).equal(five[:, :3])


def test_frames_are_green_red_or_white() -> None:
    found = framed(torch.zeros(3, 3, 16, 16), [True, False, None])
    assert found.shape == (3, 3, 18, 18)
    assert [tuple(round(v, 2) for v in page[:, 0, 0].tolist()) for page in found] == [
        FRAME[True],
        FRAME[False],
        (1.0, 1.0, 1.0),
    ]
    assert not found[:, :, 1:-1, 1:-1].any()


def test_a_page_is_written_with_something_on_it(tmp_path) -> None:
    arrow = Arrow((2, 2), (6, 6), FRAME[True])
    columns = [
        Column("left", torch.rand(2, 3, 8, 8), notes=["a", "b"]),
        Column("right", torch.rand(2, 3, 8, 8), arrows=[[arrow], []]),
    ]
    save_page(tmp_path / "deep" / "page.png", columns, "a title")
    assert imread(tmp_path / "deep" / "page.png").std() > 0.05
