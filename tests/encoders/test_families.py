"""docs/encoders.md says which names of timm were tried: each row is tried again here."""

from __future__ import annotations

import pytest
import torch
from small import REPOSITORY

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler

ROWS = [
    [cell.strip(" `") for cell in line.strip().strip("|").split("|")]
    for line in (REPOSITORY / "docs" / "encoders.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]
FITS = [name for name, result, _ in ROWS if result == "fits"]
REFUSED = [(name, why) for name, result, why in ROWS if result == "refused"]


def test_the_table_has_both_kinds_of_rows():
    assert len(FITS) > 10
    assert len(REFUSED) > 5
    assert len(FITS) + len(REFUSED) == len(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("name", FITS)
def test_what_fits_takes_placed_and_blind_tiles_and_is_what_it_exports(name: str):
    torch.manual_seed(0)
    size = 56 if "patch14" in name else 64
    encoder = create(name=name, image_size=size).eval()
    sampler = PatchSampler(image_size=size, unit=encoder.unit, multiple=encoder.multiple)
    encoder.check(sampler.grid, places=True)
    with torch.no_grad():
        patches = sampler(torch.randint(256, (2, 3, size, size), dtype=torch.uint8))
        cells = torch.arange(0, sampler.grid.cells, 2).expand(2, -1)
        for shown in (patches.select(cells), patches.select(cells).blind()):
            assert encoder(shown).tiles.isfinite().all()
        given = torch.randn(2, 3, size, size)
        found, expected = encoder.features(given)[-1].pooled, encoder.export(size)(given)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("name", "why"), REFUSED)
def test_what_is_refused_says_why_and_what_to_take(name: str, why: str):
    with pytest.raises(ValueError, match=f"encoder.name={name}: ") as refusal:
        create(name=name, image_size=64)
    assert why in str(refusal.value)
    assert "encoder.name=" in str(refusal.value).removeprefix(f"encoder.name={name}")
