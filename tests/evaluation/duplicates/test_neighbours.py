"""Neighbours are exact whatever the block, and memory does not grow with all pairs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ssl_patches.evaluation.duplicates.neighbours import VectorFile, groups_of, nearest_apart


def whitened(vectors):
    file = VectorFile(vectors.shape[1])
    file.add(vectors.astype(np.float32))
    return file.whitened()


@pytest.mark.parametrize("block", [7, 64, 2048])
def test_neighbours_are_those_of_all_pairs(block):
    draw = np.random.default_rng(0)
    kinds = [whitened(draw.normal(size=(150, dim))) for dim in (8, 3)]
    group = np.arange(150) // 2
    found = nearest_apart(kinds, group, k=9, block=block)
    points = [kind.rows * kind.lengths[:, None] for kind in kinds]
    points = np.concatenate([each / np.sqrt((each**2).sum(1).mean()) for each in points], 1)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    apart[group[:, None] == group[None]] = np.inf
    assert np.allclose(found.distance, np.sort(apart, 1)[:, :9], atol=1e-3)
    assert np.allclose(np.take_along_axis(apart, found.which, 1), found.distance, atol=1e-3)


@pytest.mark.parametrize("block", [3, 64])
def test_what_is_joined_through_others_is_one_group(block):
    angles = np.array([0, 0.3, 0.6, 2.0, 2.3, 4.0])
    rows = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    group = groups_of(rows, similarity=0.9, block=block)
    assert group[0] == group[1] == group[2] != group[3] == group[4] != group[5]


def test_memory_is_that_of_a_block():
    vectors = whitened(np.random.default_rng(0).normal(size=(4000, 8)))
    tracemalloc.start()
    nearest_apart([vectors], groups_of(vectors.rows, similarity=0.99, block=256), k=5, block=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6 < 4000 * 4000 * 4  # all pairs are 64 MB


def test_more_neighbours_than_there_are_is_refused():
    with pytest.raises(ValueError, match="k=4: must be 1 to 3"):
        nearest_apart([whitened(np.eye(4))], np.arange(4), k=4)
