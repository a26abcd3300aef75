"""Pictures carry a mark, are written whole, and take the place of no picture of somebody else."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from PIL import Image

from ssl_patches.config.pictures import free_place, has_mark, save_picture


def _figure() -> Figure:
    return Figure(figsize=(0.1, 0.1))


def test_a_picture_of_ours_is_replaced_and_one_of_others_is_not(tmp_path):
    ours, theirs = tmp_path / "a" / "ours.png", tmp_path / "theirs.png"
    save_picture(_figure(), ours)
    Image.new("RGB", (9, 9)).save(theirs)
    assert (has_mark(ours), has_mark(theirs), has_mark(tmp_path / "none.png")) == (
        True,
        False,
        False,
    )
    assert free_place(ours) == ours
    for _ in range(2):
        save_picture(_figure(), free_place(theirs))
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["theirs-2.png", "theirs.png"]
    assert not has_mark(theirs)


def test_what_cannot_be_written_leaves_the_old_picture_and_no_half_of_a_new_one(tmp_path):
    path, figure = tmp_path / "ours.png", _figure()
    save_picture(figure, path)
    before = path.read_bytes()

    def full(file, **_):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    figure.savefig = full
    with pytest.raises(OSError, match="No space"):
        save_picture(figure, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
