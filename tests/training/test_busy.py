"""A run whose threads would wait for each other is told, and no other."""

from __future__ import annotations

import pytest

from ssl_patches.training.busy import crowded


@pytest.mark.parametrize(("threads", "cores", "load"), [(2, 2, 6.2), (16, 64, 190.0), (8, 8, 12.5)])
def test_threads_among_other_work_are_told_with_the_remedy(
    threads: int, cores: int, load: float
) -> None:
    said = crowded(threads, cores, load)
    assert said is not None
    assert f"load average {load:.1f} on {cores} cores" in said
    assert "OMP_NUM_THREADS=1" in said


@pytest.mark.parametrize(
    ("threads", "cores", "load"),
    [
        (1, 2, 9.0),  # one thread waits for nobody
        (2, 2, 0.1),
        (2, 2, 2.0),  # what a run that has just ended leaves behind
        (2, 64, 40.0),  # a container with two of many cores, which are not all in use
    ],
)
def test_others_are_told_nothing(threads: int, cores: int, load: float) -> None:
    assert crowded(threads, cores, load) is None
