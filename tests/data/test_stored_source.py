"""Damage is replaced, counted in every worker and refused where it is too much."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from noise_files import many, put, put_damaged, source, truncate

from ssl_patches.data.module import ordered_loader
from ssl_patches.data.stored_source import share_above
from ssl_patches.data.training_stream import PatchDataModule


@pytest.mark.parametrize(("side", "expected"), [(5, 8), (12, 12), (50, 16)])
def test_load_size_is_the_median_side_within_one_and_two_image_sizes(
    tmp_path: Path, side: int, expected: int
) -> None:
    put(tmp_path, *many("train/{}.png", 3), side=side)
    put(tmp_path, "train/other.png", "val/1.png", side=400)
    assert source(tmp_path).load_size == expected
    assert source(tmp_path)[0][0].shape == (3, expected, expected)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return put_damaged(tmp_path)


def test_broken_pixels_are_replaced_by_the_next_readable_image(damaged: Path) -> None:
    """10.jpg and the last file: the next is another file, and after the last comes the first."""
    data = source(damaged, max_corrupt=0.5)
    bases = [os.path.basename(path) for path in data.paths]
    for broken, replacement in (("10.jpg", "10.png"), ("11.jpg", "11.png"), ("99.jpg", "00.jpg")):
        at, instead = bases.index(broken), bases.index(replacement)
        image, _, index = data[at]
        assert index == instead
        assert torch.equal(image, data[instead][0])


def test_the_main_process_learns_what_workers_could_not_read(damaged: Path) -> None:
    data = source(damaged, max_corrupt=0.5)
    assert len(data.unreadable()) == 4
    shown = torch.cat(
        [batch.index for batch in ordered_loader(data, batch_size=4, num_workers=2)]
    ).tolist()
    late = {os.path.basename(path): reason for path, reason in data.unreadable()[4:]}
    assert set(late) == {"10.jpg", "11.jpg", "99.jpg"}
    assert all("truncated" in reason for reason in late.values())
    assert sorted(set(range(39)) - set(shown)) == [
        i for i, p in enumerate(data.paths) if os.path.basename(p) in late
    ]


def test_the_stream_is_the_same_whichever_worker_meets_the_damage(damaged: Path) -> None:
    def stream(workers: int) -> list[torch.Tensor]:
        data = source(damaged, max_corrupt=0.5)
        module = PatchDataModule(train=data, val=None, batch_size=5, num_workers=workers, seed=0)
        return [
            batch.images for _, batch in zip(range(16), module.train_dataloader(), strict=False)
        ]

    assert all(torch.equal(a, b) for a, b in zip(stream(0), stream(2), strict=True))


def test_too_many_broken_headers_are_refused_with_the_share_to_allow(damaged: Path) -> None:
    with pytest.raises(
        ValueError, match=r"data.max_corrupt=0.05: 4 of 43 images .*set data.max_corrupt=0.094"
    ) as error:
        source(damaged, max_corrupt=0.05)
    source(damaged, max_corrupt=float(re.findall(r"max_corrupt=([\d.]+) to", str(error.value))[0]))


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_broken_pixels_stop_the_run_from_any_worker(damaged: Path, workers: int) -> None:
    data = source(damaged, max_corrupt=0.15)  # 6 of 43 may be broken, the seventh may not
    with pytest.raises(ValueError, match=r"data.max_corrupt=0.15: 7 of 43"):
        list(ordered_loader(data, batch_size=4, num_workers=workers))


@pytest.mark.slow
def test_a_source_sent_to_a_spawned_worker_reports_back(damaged: Path) -> None:
    data = source(damaged, max_corrupt=0.5)
    loader = torch.utils.data.DataLoader(
        data, batch_size=13, num_workers=1, multiprocessing_context="spawn"
    )
    for _ in loader:
        pass
    assert len(data.unreadable()) == 7


def test_a_folder_whose_pixels_are_all_broken_is_refused_when_read(tmp_path: Path) -> None:
    put(tmp_path, "train/1.jpg", "train/2.jpg", "val/1.jpg", side=40)
    truncate(tmp_path / "train/1.jpg")
    truncate(tmp_path / "train/2.jpg")
    with pytest.raises(ValueError, match=r"data.root=.*none of 2"):
        source(tmp_path, max_corrupt=0.99)[0]


def test_the_share_that_is_advised_is_one_that_is_taken() -> None:
    """``data.max_corrupt`` has to be below 1, and not below the share of what is damaged."""
    draw = np.random.default_rng(0)
    for total in (1, 2, 7, 999, 2000, 30_001, 10**7):
        for bad in {0, total // 2, total - 1, int(draw.integers(0, total))}:
            share = share_above(bad / total)
            assert bad / total <= share < 1
            assert bad <= share * total


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("bad", "taken"), [(1, True), (3, True), (4, False)])
def test_few_damaged_images_of_a_small_side_are_a_share_of_all(
    tmp_path: Path, late: bool, bad: int, taken: bool
) -> None:
    """Of 8 held out and 32 in all a tenth may be damaged, but not half of what is held out."""
    put(tmp_path, *many("train/{}.png", 24), *many("val/{}.jpg", 8), side=40)
    for at in range(bad):
        path = tmp_path / f"val/{at}.jpg"
        truncate(path) if late else path.write_bytes(b"")

    def read() -> None:
        held = source(tmp_path, "val", max_corrupt=0.1)
        assert [held[at][1] for at in range(len(held))]
        assert len(held.unreadable()) == bad

    if taken:
        read()
        with pytest.raises(ValueError, match=rf"{'1' if late else bad} of 8 images"):
            source(tmp_path, "val", max_corrupt=0)[0]
    else:
        with pytest.raises(ValueError, match=r"max_corrupt=0.1: 4 of 8 images .*set data.max_c"):
            read()
