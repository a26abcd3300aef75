"""A run directory is claimed once, never overwritten unasked, resumed by its own run only."""

from __future__ import annotations

import re

import pytest
import torch

from ssl_patches.config.run_dir import (
    CONFIG,
    LAST,
    checkpoint_to_resume,
    claim,
    differences,
    origin_of,
    read_checkpoint,
    same_batch,
)

CFG = {"seed": 1, "run_dir": "x", "data": {"_target_": "a.B", "root": "here", "channels": 3}}


def test_a_new_directory_is_claimed_and_a_used_one_refused_until_a_key_allows_it(tmp_path):
    run = tmp_path / "run"
    claim(run, resume=False, overwrite=False)
    assert (run / LAST).parent.is_dir()
    with pytest.raises(ValueError, match="is in use, must be new or empty; set resume=true"):
        claim(run, resume=False, overwrite=False)
    with pytest.raises(ValueError, match=r"replaces runs only, and this holds no config\.yaml"):
        claim(run, resume=False, overwrite=True)
    (run / CONFIG).write_text("seed: 1")
    (run / LAST).write_text("old")
    claim(run, resume=True, overwrite=False)
    assert (run / LAST).exists()
    claim(run, resume=False, overwrite=True)
    assert not (run / CONFIG).exists()


def test_what_may_change_is_no_part_of_the_origin():
    moved = {**CFG, "run_dir": "y", "data": {**CFG["data"], "root": "there", "num_workers": 3}}
    assert origin_of(CFG, "f") == origin_of(moved, "f")
    assert origin_of(CFG, "f") != origin_of({**CFG, "seed": 2}, "f")
    assert origin_of(CFG, "f") != origin_of(CFG, "g")


def test_differences_name_the_leaf_by_its_path():
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}}) == {
        "a.c": (2, 3),
        "a.d": (None, 4),
    }


def test_only_the_run_that_wrote_a_checkpoint_resumes_it(tmp_path):
    claim(tmp_path, resume=False, overwrite=False)
    origin = origin_of(CFG, "f")
    options = {"resume": True, "overwrite": False}
    assert checkpoint_to_resume(tmp_path, origin, **options) is None
    torch.save({"origin": origin, "batch_size": 8}, tmp_path / LAST)
    found = checkpoint_to_resume(tmp_path, origin, **options)
    assert found is not None
    with pytest.raises(ValueError, match=r"seed was 1 and is now 2; give the run's own settings"):
        checkpoint_to_resume(tmp_path, origin_of({**CFG, "seed": 2}, "f"), **options)
    with pytest.raises(ValueError, match="one continues the run and the other deletes it"):
        checkpoint_to_resume(tmp_path, origin, resume=True, overwrite=True)
    same_batch(found, 8, 4)
    with pytest.raises(ValueError, match=r"the run had 8 images per step and would now have 16"):
        same_batch(found, 16, 4)


def test_a_file_that_is_no_checkpoint_of_ours_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "torn.ckpt").write_bytes(b"PK\x03\x04torn")
    with pytest.raises(ValueError, match="cannot be read"):
        read_checkpoint(tmp_path / "torn.ckpt")
    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=re.escape("was not written by ssl-patches pretrain")):
        read_checkpoint(tmp_path / "other.ckpt")


def test_a_run_of_before_knows_its_images_by_the_rule_of_before(tmp_path):
    claim(tmp_path, resume=False, overwrite=False)
    torch.save({"origin": origin_of(CFG, "names"), "batch_size": 8}, tmp_path / LAST)
    now = origin_of(CFG, "names and content")
    options = {"resume": True, "overwrite": False}
    assert checkpoint_to_resume(tmp_path, now, former_fingerprint="names", **options) is not None
    with pytest.raises(ValueError, match="trained on other images than those that are there now"):
        checkpoint_to_resume(tmp_path, now, former_fingerprint="others", **options)
