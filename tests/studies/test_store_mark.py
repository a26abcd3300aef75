"""One command at a time works with a store; what another one left behind holds nobody up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ssl_patches.config.messages import BadRequest
from ssl_patches.config.owners import myself
from ssl_patches.studies import store_mark
from ssl_patches.studies.object_store import ObjectStore
from ssl_patches.studies.store_mark import only_driver

pytest.importorskip("fsspec", reason="needs ssl-patches[shards]")


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}/store")


def mark(store: ObjectStore, number: int = 1, **changed: object) -> None:
    owner = {**asdict(myself()), **changed}
    store.write(f"drivers/{number:06d}.json", json.dumps(owner))


def test_a_second_command_is_refused_and_the_next_is_not(store) -> None:
    with (
        only_driver(store),
        pytest.raises(BadRequest, match=r"ray\.store=file://.*: process \d+ on"),
        only_driver(store),
    ):
        pytest.fail("two at once")
    with only_driver(store):
        assert [*store.sizes("drivers")] == ["drivers/000002.json"]


@pytest.mark.parametrize("again", range(10))
def test_of_many_that_begin_at_once_one_goes_on(store, again: int) -> None:
    begun, refused, gate = [], [], threading.Barrier(8)
    end = threading.Event()

    def begin() -> None:
        gate.wait()
        try:
            with only_driver(ObjectStore(store.url)):
                begun.append(1)
                end.wait(30)
        except BadRequest:
            refused.append(1)
            if len(refused) == 7:
                end.set()

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(begun), len(refused)) == (1, 7)


def test_who_looked_before_others_came_and_went_fills_no_gap(store, monkeypatch) -> None:
    mark(store, 3)
    real = store_mark._marks
    looks = iter([lambda of: []])
    monkeypatch.setattr(store_mark, "_marks", lambda of: next(looks, real)(of))
    with pytest.raises(BadRequest, match="has just begun"), only_driver(store):
        pytest.fail("two at once")


def test_one_that_was_killed_on_this_machine_holds_nobody_up(store) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mark(store, 7, pid=ended.pid)
    with only_driver(store):
        assert [*store.sizes("drivers")] == ["drivers/000008.json"]


@pytest.mark.parametrize(("silence", "refused"), [(600.0, True), (-1.0, False)])
def test_one_of_another_machine_is_gone_when_it_is_silent(
    store, monkeypatch, silence: float, refused: bool
) -> None:
    mark(store, machine="another", host="far")
    monkeypatch.setattr(store_mark, "SILENCE", silence)
    if refused:
        with pytest.raises(BadRequest, match="on far works with it"), only_driver(store):
            pass
    else:
        with only_driver(store):
            pass
    assert not [name for name in store.sizes("drivers") if "/." in name]  # the probe went


def test_a_mark_is_written_again_while_the_command_works(store, monkeypatch) -> None:
    monkeypatch.setattr(store_mark, "HEARTBEAT", 0.02)
    with only_driver(store):
        file = Path(store.url.removeprefix("file://"), "drivers", "000001.json")
        before, deadline = file.stat().st_mtime_ns, threading.Event()
        for _ in range(500):
            if file.stat().st_mtime_ns != before:
                break
            deadline.wait(0.02)
        else:
            pytest.fail("no heartbeat")


@pytest.mark.parametrize("how", ["taken over", "written over"])
def test_one_that_was_taken_for_gone_ends(store, monkeypatch, capfd, how: str) -> None:
    ended = threading.Event()
    monkeypatch.setattr(store_mark, "HEARTBEAT", 0.02)
    monkeypatch.setattr(store_mark.os, "_exit", lambda _: ended.set())
    with only_driver(store):
        mark(store, 2 if how == "taken over" else 1)
        assert ended.wait(10)
    assert "was taken over by another command" in capfd.readouterr().err


def test_what_is_no_mark_is_named(store) -> None:
    store.write("drivers/000001.json", "[]")
    no_mark = r"drivers/000001\.json is no mark of ssl-patches"
    with pytest.raises(BadRequest, match=no_mark), only_driver(store):
        pass


def test_an_owner_that_said_so_is_gone(store) -> None:
    mark(store, **asdict(replace(myself(), released=True)))
    with only_driver(store):
        pass
