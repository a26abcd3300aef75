"""What concerns the machine of a run alone is taken out of what others get."""

from __future__ import annotations

import pytest

from ssl_patches.export.parcel import export_in, shared


def test_a_place_becomes_its_name_and_what_made_the_weights_stays():
    config = {
        "seed": 3,
        "run_dir": "/home/anna/runs/a",
        "callbacks": {"mine": {"address": "https://example.org"}},
        "logger": None,
        "trainer": {"ema": 0.9},
        "task": {"words": ["/srv/x/list.txt", "plain"], "at": "C:\\data\\cells"},
        "data": {"_target_": "a.B", "path": "s3://bucket/cells", "token": "t", "batch_size": 8},
    }
    kept, changed = shared(config)
    assert kept == {
        "seed": 3,
        "trainer": {"ema": 0.9},
        "task": {"words": ["list.txt", "plain"], "at": "cells"},
        "data": {"_target_": "a.B", "path": "cells", "batch_size": 8},
    }
    assert set(changed) == {
        *("run_dir", "callbacks", "data.path", "data.token", "task.words[0]", "task.at"),
    }
    assert shared(kept) == (kept, ())
    assert shared(None) == (None, ())


def test_an_export_is_found_by_itself_and_in_its_run(tmp_path):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "ssl_patches.json").touch()
    with pytest.raises(ValueError, match=r"has no ssl_patches\.json; name the folder"):
        export_in(tmp_path)
    (tmp_path / "config.yaml").touch()
    assert export_in(tmp_path) == export_in(tmp_path / "encoder") == tmp_path / "encoder"
