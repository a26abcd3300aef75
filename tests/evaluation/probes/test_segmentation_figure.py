"""The picture of segmentation has a row per image and a column per probe."""

import torch

from ssl_patches.evaluation.probes.segmentation_figure import (
    draw_segmentation,
    for_matplotlib,
    picture_grid,
)


def test_images_of_any_channels_are_displayed_as_colours_in_0_to_1():
    grey = torch.full((2, 1, 3, 4), 255, dtype=torch.uint8)
    assert for_matplotlib(grey).shape == (2, 3, 4, 3)
    assert for_matplotlib(grey).max() == 1
    assert for_matplotlib(torch.zeros(1, 5, 3, 3, dtype=torch.uint8)).shape == (1, 3, 3, 3)


def test_a_grid_has_titles_on_its_first_row():
    _, panels = picture_grid(2, 2, ("image", "truth"))
    assert panels.shape == (2, 2)
    assert [axes.get_title() for axes in panels[0]] == ["image", "truth"]
    assert panels[1, 0].get_title() == ""


def test_the_file_is_written_into_a_folder_that_was_not_there(tmp_path):
    masks = torch.tensor([[[0, 1], [-1, 1]]])
    draw_segmentation(
        tmp_path / "figures" / "segmentation.png",
        images=torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
        truth=masks,
        predicted={"linear": masks.clamp(min=0)},
        classes=["sky", "road"],
    )
    assert (tmp_path / "figures" / "segmentation.png").stat().st_size > 1000
