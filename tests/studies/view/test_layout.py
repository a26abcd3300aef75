"""The map: what is alike lies together, the same each time, for any number of images."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_patches.studies.view.layout import GROUPS, directions, grouped, laid_out


@pytest.fixture(scope="module")
def planted():
    """Three kinds of 20, far apart: rows (60, 16), kinds (60,)."""
    draw = np.random.default_rng(0)
    kinds = np.arange(60) % 3
    vectors = 4 * draw.normal(size=(3, 16))[kinds] + draw.normal(size=(60, 16)) + 100
    return directions(vectors.astype(np.float32)), kinds


def test_directions_have_length_one_and_are_those_from_the_mean(planted):
    rows, _ = planted
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert abs(float((rows @ rows.T).mean())) < 0.3  # what all share is taken off


def test_neighbours_on_the_map_are_of_one_kind_and_it_is_the_same_again(planted):
    rows, kinds = planted
    places = laid_out(rows)
    assert (places.min(), places.max()) == (0, 1)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    nearest = np.argsort(apart, axis=1)[:, 1:4]
    assert (kinds[nearest] == kinds[:, None]).mean() > 0.95
    np.testing.assert_array_equal(places, laid_out(rows))


def test_clusters_hold_one_kind_each_and_the_largest_is_the_first(planted):
    rows, kinds = planted
    found = grouped(rows)
    counts = np.bincount(found)
    assert len(counts) == GROUPS
    assert list(counts) == sorted(counts, reverse=True)
    assert all(len(set(kinds[found == one])) == 1 for one in range(len(counts)))


@pytest.mark.parametrize("count", [1, 3, 4, 6])
@pytest.mark.parametrize("same", [False, True])
def test_few_images_and_images_that_are_all_alike_have_places_too(count, same):
    draw = np.random.default_rng(1).normal(size=(count, 5)).astype(np.float32)
    rows = directions(np.ones_like(draw) if same else draw)
    places = laid_out(rows)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert len(grouped(rows)) == count
