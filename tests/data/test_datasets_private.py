"""The name that is private to ``datasets`` is where this package looks for it."""

from __future__ import annotations

import pytest

from ssl_patches.data.datasets_private import fingerprint

datasets = pytest.importorskip("datasets")


def test_breaks_when_datasets_renames_the_fingerprint() -> None:
    table = datasets.Dataset.from_dict({"x": [1, 2]})
    assert fingerprint(table) == fingerprint(table)
    assert isinstance(fingerprint(table), str)
    assert fingerprint(table) != fingerprint(table.select([0]))
