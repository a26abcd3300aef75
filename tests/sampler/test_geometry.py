"""A grid that does not fit is refused, and every remedy works."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ssl_patches.sampler import ColourTreatment, PatchSampler
from ssl_patches.types import Views

PLAIN = {"mean": (0.0, 0.0), "std": (1.0, 1.0)}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=st.integers(20, 60),
    gap=st.integers(0, 4),
    shift=st.integers(0, 2),
    high=st.sampled_from([0.5, 0.87, 1.0, 1.25]),
)
def test_a_grid_that_fills_the_view_holds_as_many_tiles_as_fit(
    size: int, gap: int, shift: int, high: float
):
    sampler = PatchSampler(
        image_size=size,
        tile=3,
        gap=gap,
        scales=(0.5, high),
        colour=ColourTreatment(channel_shift=shift),
        **PLAIN,
    )
    pitch = max(3, 3 * high + gap + shift)
    assert sampler.grid.rows * pitch <= size
    assert (sampler.grid.rows + 1) * pitch > size or (sampler.grid.rows + 1) * -(
        -pitch // 1
    ) > size  # cells are whole pixels


REFUSED = [
    (dict(image_size=32, rows=3, cols=3, tile=12), "sampler.tile=12", "does not fit"),
    (dict(image_size=32, rows=3, cols=3, tile=8, gap=5), "sampler.gap=5", "does not fit"),
    (dict(image_size=32, rows=3, cols=3, gap=12), "sampler.gap=12", "does not fit"),
    (
        dict(image_size=32, rows=3, cols=3, tile=8, scales=(1.0, 1.5)),
        "sampler.tile=8",
        "does not fit",
    ),
    (
        dict(image_size=32, rows=3, cols=3, tile=8, colour=ColourTreatment(channel_shift=3)),
        "sampler.tile=8",
        "shift by up to 3",
    ),
    (dict(image_size=100, rows=3, cols=3, tile=40), "sampler.tile=40", "does not fit"),
    (dict(image_size=32, rows=3, cols=3, tile=12, multiple=4), "sampler.tile=12", "does not fit"),
    (
        dict(image_size=32, rows=3, cols=3, tile=6, gap=2, jitter=5),
        "sampler.jitter=5",
        "from 0 to 2",
    ),
    (dict(image_size=32, rows=3, cols=3, tile=6, jitter=-1), "sampler.jitter=-1", "from 0 to"),
    (dict(image_size=32, tile=48), "sampler.tile=48", "needs at least 2"),
    (dict(image_size=32, unit=32), "sampler.tile=32", "needs at least 2"),
    (dict(image_size=32, tile=15, gap=4), "sampler.tile=15", "needs at least 2"),
    (dict(image_size=32, rows=50, cols=3), "sampler.rows=50", "from 1 to image_size=32"),
    (dict(image_size=32, tile=0), "sampler.tile=0", "at least 1 px"),
    (dict(image_size=32, tile=-4), "sampler.tile=-4", "at least 1 px"),
    (dict(image_size=32, tile=8, gap=-1), "sampler.gap=-1", "0 or more"),
    (dict(image_size=32, scales=(1.0, 0.8)), "sampler.scales=[1.0, 0.8]", "0 < low <= high"),
]


@pytest.mark.parametrize(("arguments", "key", "rule"), REFUSED)
def test_a_refusal_names_key_value_and_rule_and_every_remedy_works(
    arguments: dict, key: str, rule: str
):
    with pytest.raises(ValueError, match=re.escape(rule)) as refusal:
        PatchSampler(**arguments)
    message = str(refusal.value)
    assert message.startswith(key) or key in message.partition(":")[0]
    remedy = message.rpartition("; ")[2]
    found = re.findall(r"(?:sampler\.)?(\w+)=(\[[\d.,]+\]|\d+)", remedy)
    assert found
    for name, value in found:
        mended = (
            [float(part) for part in value[1:-1].split(",")]
            if value.startswith("[")
            else int(value)
        )
        PatchSampler(**{**arguments, name: mended})


def test_half_a_grid_is_refused():
    with pytest.raises(
        ValueError, match=r"sampler\.rows=3, sampler\.cols=None: give both, or neither"
    ):
        PatchSampler(image_size=32, rows=3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    size=st.integers(4, 64),
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    tile=st.none() | st.integers(1, 70),
    gap=st.none() | st.integers(0, 20),
    multiple=st.sampled_from([1, 4, 8]),
    high=st.sampled_from([0.87, 1.0, 1.3]),
    shift=st.integers(0, 2),
    grid=st.booleans(),
)
def test_every_remedy_of_every_misfit_works(
    size: int,
    rows: int,
    cols: int,
    tile: int | None,
    gap: int | None,
    multiple: int,
    high: float,
    shift: int,
    grid: bool,
):
    arguments = dict(
        image_size=size, tile=tile, gap=gap, multiple=multiple, unit=multiple, scales=(0.8, high)
    )
    arguments |= dict(
        colour=ColourTreatment(channel_shift=shift), **(dict(rows=rows, cols=cols) if grid else {})
    )
    assume(not grid or (rows * cols > 1 and max(rows, cols) <= size))
    try:
        PatchSampler(**arguments)
    except ValueError as refusal:
        remedies = re.findall(r"(?:sampler\.)?(\w+)=(\d+)", str(refusal).rpartition("; ")[2])
        assert remedies
        for name, value in remedies:
            PatchSampler(**{**arguments, name: int(value)})


CUT = [  # grid of the large crops, 24 px
    {"rows": 1, "cols": 1, "tile": 24, "gap": 0},
    {"tile": 8},
    {"tile": 4},
    {"rows": 2, "cols": 2},
    {"rows": 3, "cols": 3, "tile": 8, "gap": 0, "colour": ColourTreatment(channel_shift=0)},
    {"rows": 2, "cols": 2, "tile": 8, "gap": 2},
]


@pytest.mark.parametrize("multiple", [1, 4])
@pytest.mark.parametrize("cut", CUT)
def test_small_crops_are_whole_tiles_or_what_is_said_makes_them(cut: dict, multiple: int):
    def tiles(side: int, cut: dict) -> tuple[int, ...]:
        sampler = PatchSampler(image_size=24, unit=multiple, multiple=multiple, **cut)
        views = Views(torch.zeros(2, 3, 24, 24), 2, 2, torch.zeros(1, 3, side, side), 1)
        small = sampler(views).small
        assert small is not None
        assert small.tiles.shape[-1] ** 2 * small.tiles.shape[1] == side**2
        return tuple(small.tiles.shape)

    refused = 0
    for side in range(1, 25):
        try:
            assert tiles(side, cut)[-1] % multiple == 0
        except ValueError as refusal:
            refused += 1
            message = str(refusal)
            assert message.startswith(f"views.small_size={side}: ")
            remedies = re.split(", or |, ", message.rpartition("; set ")[2])
            assert remedies[-1] == "views.small_size=null"
            for remedy in remedies[:-1]:
                said = dict(word.split("=") for word in remedy.split())
                mended = CUT[0] if said.get("sampler") == "whole" else cut
                assert tiles(int(said.get("views.small_size", side)), mended)[-1] % multiple == 0
    assert bool(refused) == (cut != CUT[0] or multiple > 1)
