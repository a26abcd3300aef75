"""A run directory is claimed once, never overwritten unasked, resumed by its own run only."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from ssl_patches.config import locks, run_dir, save
from ssl_patches.config.owners import Owner, machine_name, start_of
from ssl_patches.config.run_dir import (
    CONFIG,
    LAST,
    SUMMARY,
    changed_settings,
    checkpoint_to_resume,
    claim,
    claimed,
    default_name,
    delete,
    origin_of,
    read_checkpoint,
    refuse_used,
    same_batch,
)

SETTINGS = {"seed": 1, "image_size": 32, "budget": {}, "data": {}, "encoder": {}}
CFG = {"seed": 1, "run_dir": "x", "data": {"_target_": "a.B", "root": "here", "channels": 3}}


def test_a_new_directory_is_claimed_and_a_used_one_refused_until_a_key_allows_it(tmp_path):
    run = tmp_path / "run"
    claim(run, resume=False, overwrite=False)
    assert (run / LAST).parent.is_dir()
    with pytest.raises(ValueError, match="is in use, must be new or empty; set resume=true"):
        claim(run, resume=False, overwrite=False)
    with pytest.raises(ValueError, match="is not a run of ssl-patches"):
        claim(run, resume=False, overwrite=True)
    save(SETTINGS, run / CONFIG)
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
    assert changed_settings({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}}) == {
        "a.c": (2, 3),
        "a.d": (None, 4),
    }


@pytest.mark.parametrize("other", [None, 1, {}, [{"b": 1}]])
def test_what_is_a_mapping_on_one_side_only_differs_as_a_whole(other):
    assert changed_settings({"a": {}}, {"a": {}}) == {}
    if other != {}:
        assert changed_settings({"a": {"b": 1}}, {"a": other}) == {"a": ({"b": 1}, other)}
        assert changed_settings({"a": other}, {"a": {"b": 1}}) == {"a": (other, {"b": 1})}


@pytest.mark.parametrize("second", [1_700_000_000, 1_700_000_000.25, 1_700_000_000.999999])
def test_a_run_is_called_after_task_encoder_and_time_to_the_microsecond(second, monkeypatch):
    monkeypatch.setattr(run_dir.time, "time", lambda: second)
    day = time.strftime("%Y%m%d-%H%M%S", time.localtime(1_700_000_000))
    micros = {0: "000000", 0.25: "250000"}.get(second % 1, "999999")
    name = default_name({"encoder": {"name": "vit"}}, "jigsaw")
    assert str(name).startswith(f"runs/jigsaw-vit-{day}-")
    assert abs(int(str(name)[-6:]) - int(micros)) <= 1
    assert len(name.name) == len("jigsaw-vit-20231114-221320-000000")
    assert default_name({"encoder": {}}, "a").name.startswith("a-encoder-2")


def test_a_place_that_can_be_no_run_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place, said in ((tmp_path / "file", "is a file"), (tmp_path / "file" / "run", "cannot be")):
        with (
            pytest.raises(ValueError, match=f"run_dir={re.escape(str(place))}: {said}"),
            claimed(place, resume=False, overwrite=True),
        ):
            pass
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    refuse_used(tmp_path / "empty", resume=False, overwrite=False)


def test_deleting_takes_the_whole_folder_and_nothing_beside_it(tmp_path):
    run = a_run(tmp_path / "run")
    (tmp_path / "run2").mkdir()
    delete(run)
    assert [place.name for place in tmp_path.iterdir()] == ["run2"]


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


@pytest.mark.parametrize("batch", [24, 1000, 8])
def test_the_remedy_for_another_batch_counts_the_shards_of_the_run(batch):
    same_batch({"batch_size": batch}, int(str(batch)), 8)
    same_batch({}, 8, 8)  # of before: a step was one shard
    told = f"the run had {batch} images per step and would now have {batch + 8}; make .*nodes "
    with pytest.raises(ValueError, match=f"{told}{batch // 8}, or give another run_dir$"):
        same_batch({"batch_size": batch}, batch + 8, 8)
    with pytest.raises(ValueError, match="the run had 8 images"):
        same_batch({}, 16, 8)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 2}, "seed was 1 and is now 2; give"),
        ({"seed": 2, "size": 3}, r"seed was 1 and is now 2 \(and size\); give"),
        ({"seed": 2, "size": 3, "task": 0}, r"now 2 \(and size, task\); give"),
        ({"data_fingerprint": "g"}, "was trained on other images"),
        ({"data_fingerprint": "g", "seed": 2}, r"data_fingerprint was 'f' .* \(and seed\); give"),
    ],
)
def test_the_refusal_names_all_settings_that_differ(changes, said, tmp_path):
    claim(tmp_path, resume=False, overwrite=False)
    origin = origin_of(CFG, "f")
    torch.save({"origin": origin}, tmp_path / LAST)
    with pytest.raises(ValueError, match=said):
        checkpoint_to_resume(tmp_path, {**origin, **changes}, resume=True, overwrite=False)


def test_nothing_is_read_of_a_run_that_begins_anew(tmp_path):
    claim(tmp_path, resume=False, overwrite=False)
    (tmp_path / LAST).write_text("torn")
    for overwrite in (True, False):
        assert checkpoint_to_resume(tmp_path, {}, resume=False, overwrite=overwrite) is None
    nowhere = tmp_path / "nowhere"
    assert checkpoint_to_resume(nowhere, {}, resume=True, overwrite=False) is None


def test_a_file_that_is_no_checkpoint_of_ours_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "torn.ckpt").write_bytes(b"PK\x03\x04torn")
    with pytest.raises(ValueError, match="cannot be read"):
        read_checkpoint(tmp_path / "torn.ckpt")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match="it is cut off or damaged, with 0 bytes"):
        read_checkpoint(tmp_path / "empty.ckpt")
    torch.save({"origin": re.compile("code")}, tmp_path / "code.ckpt")
    with pytest.raises(ValueError, match="it holds more than tensors and plain values"):
        read_checkpoint(tmp_path / "code.ckpt")
    torch.save([1], tmp_path / "list.ckpt")
    with pytest.raises(ValueError, match=re.escape("was not written by ssl-patches pretrain")):
        read_checkpoint(tmp_path / "list.ckpt")
    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=re.escape("was not written by ssl-patches pretrain")):
        read_checkpoint(tmp_path / "other.ckpt")


def test_a_run_of_before_knows_its_images_by_the_rule_of_before(tmp_path):
    claim(tmp_path, resume=False, overwrite=False)
    torch.save({"origin": origin_of(CFG, "names"), "batch_size": 8}, tmp_path / LAST)
    now = origin_of(CFG, "names and content")
    options = {"resume": True, "overwrite": False}
    assert checkpoint_to_resume(tmp_path, now, former_fingerprint="names", **options) is not None
    for former in ("a", "others", "z", ""):
        with pytest.raises(ValueError, match="trained on other images than those that are there"):
            checkpoint_to_resume(tmp_path, now, former_fingerprint=former, **options)


OTHERS = ["notes.txt", "images", "Config.yaml", ".git", "metrics.csv.bak", "checkpoints2"]


def a_run(directory: Path) -> Path:
    claim(directory, resume=False, overwrite=False)
    save(SETTINGS, directory / CONFIG)
    (directory / LAST).write_text("old")
    return directory


@pytest.mark.parametrize("name", OTHERS)
def test_overwrite_deletes_nothing_where_there_is_something_that_no_run_wrote(name, tmp_path):
    run = a_run(tmp_path / "run")
    (run / name).write_text("mine")
    with pytest.raises(ValueError, match=f"holds {re.escape(name)}, which no run wrote"):
        claim(run, resume=False, overwrite=True)
    assert (run / name).read_text() == "mine"
    assert (run / LAST).read_text() == "old"


@pytest.mark.parametrize("text", ["seed: 1", "model: {name: resnet}", "", "- a", "a: ["])
def test_a_config_of_another_program_makes_no_run(text, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / CONFIG).write_text(text)
    with pytest.raises(ValueError, match="is not a run of ssl-patches"):
        claim(tmp_path / "other", resume=False, overwrite=True)
    assert (tmp_path / "other" / CONFIG).read_text() == text


def test_a_link_to_a_run_is_not_overwritten(tmp_path):
    run = a_run(tmp_path / "run")
    (tmp_path / "link").symlink_to(run)
    with pytest.raises(ValueError, match="overwrite=true"):
        claim(tmp_path / "link", resume=False, overwrite=True)
    assert (run / LAST).read_text() == "old"


def running(directory: Path) -> None:
    """The lock of another process, which is alive: the one that started the tests."""
    pid = os.getppid()
    start = start_of(pid)
    assert start is not None
    other = Owner(socket.gethostname(), machine_name(), pid, start, time.time())
    file = directory.parent / locks.FOLDER / f"{directory.name}.1"
    file.parent.mkdir()
    file.write_text(json.dumps(asdict(other)))


@pytest.mark.parametrize(("resume", "overwrite"), [(False, True), (True, False)])
def test_a_run_that_is_running_is_neither_overwritten_nor_gone_on_with(resume, overwrite, tmp_path):
    run = a_run(tmp_path / "run")
    running(run)
    with (
        pytest.raises(ValueError, match=f"process {os.getppid()} .* works in it; wait for it"),
        claimed(run, resume=resume, overwrite=overwrite),
    ):
        pass
    assert (run / LAST).read_text() == "old"
    assert (run / CONFIG).is_file()


def test_it_is_deleted_only_while_it_is_locked(tmp_path, monkeypatch):
    """Another process may begin between the look and the deletion."""
    run, seen = a_run(tmp_path / "run"), []
    monkeypatch.setattr(run_dir, "delete", lambda place: seen.append(locks.owner(place)))
    with claimed(run, resume=False, overwrite=True):
        pass
    assert [owner.pid for owner in seen] == [os.getpid()]


def test_resume_does_not_replace_a_finished_run_whose_checkpoints_are_gone(tmp_path):
    run, options = a_run(tmp_path / "run"), {"resume": True, "overwrite": False}
    (run / LAST).unlink()
    save({**SETTINGS, **CFG}, run / CONFIG)
    origin = origin_of({**SETTINGS, **CFG}, "f")
    assert checkpoint_to_resume(run, origin, **options) is None  # killed before its first one
    with pytest.raises(ValueError, match=r"config\.yaml comes from another model or data: seed"):
        checkpoint_to_resume(run, {**origin, "seed": 7}, **options)
    (run / SUMMARY).write_text("{}")
    with pytest.raises(ValueError, match=r"is a finished run whose .* is gone"):
        checkpoint_to_resume(run, origin, **options)


def test_resume_does_not_settle_in_a_folder_of_somebody(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"is no run, and holds thesis\.tex"):
        checkpoint_to_resume(tmp_path, origin_of(CFG, "f"), resume=True, overwrite=False)


def test_what_a_kill_left_is_tidied_by_the_next_holder(tmp_path):
    run = a_run(tmp_path / "run")
    (run / ".encoder.0123.tmp").mkdir()
    (run / ".summary.json.0123.half").write_text("{")
    (run / LAST).with_name("step-1.half").write_text("half")
    with claimed(run, resume=True, overwrite=False):
        pass
    assert {place.name for place in run.iterdir()} == {CONFIG, "checkpoints"}
    assert [place.name for place in (run / LAST).parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("pointed_at", [None, 5])
def test_a_kill_between_a_checkpoint_and_its_second_name_costs_nothing(tmp_path, pointed_at):
    """``step-N.ckpt`` is whole when it has its name; ``last.ckpt`` comes after it."""
    run, origin = a_run(tmp_path / "run"), origin_of(CFG, "f")
    (run / LAST).unlink()
    for step in filter(None, (pointed_at, 10)):
        torch.save(
            {"origin": origin, "step": step}, (run / LAST).with_name(f"step-{step:08d}.ckpt")
        )
        os.utime((run / LAST).with_name(f"step-{step:08d}.ckpt"), (step, step))
    if pointed_at:
        os.link((run / LAST).with_name(f"step-{pointed_at:08d}.ckpt"), run / LAST)
    found = checkpoint_to_resume(run, origin, resume=True, overwrite=False)
    assert found is not None
    assert found["step"] == 10
    with claimed(run, resume=True, overwrite=False):
        assert torch.load(run / LAST, weights_only=True)["step"] == 10
    assert checkpoint_to_resume(run, origin, resume=True, overwrite=False) == found


def test_a_last_checkpoint_that_was_put_there_later_counts(tmp_path):
    """Whoever goes back to an older one copies it over ``last.ckpt``."""
    run, origin = a_run(tmp_path / "run"), origin_of(CFG, "f")
    torch.save({"origin": origin, "step": 10}, (run / LAST).with_name("step-00000010.ckpt"))
    torch.save({"origin": origin, "step": 5}, run / LAST)
    os.utime((run / LAST).with_name("step-00000010.ckpt"), (10, 10))
    found = checkpoint_to_resume(run, origin, resume=True, overwrite=False)
    assert found is not None
    assert found["step"] == 5
