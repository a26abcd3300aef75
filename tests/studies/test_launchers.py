"""Workers are started, watched and stopped from here."""

from __future__ import annotations

import os
import signal

from ssl_patches.studies import launchers
from ssl_patches.studies.jobs import Plan
from ssl_patches.studies.run_reader import State
from ssl_patches.studies.worker import JobStatus


def test_a_signal_is_passed_on_and_the_old_handler_comes_back():
    before, acted = signal.getsignal(signal.SIGUSR1), []
    with launchers.passing_on(signal.SIGUSR1, lambda: acted.append(1)) as came:
        os.kill(os.getpid(), signal.SIGUSR1)
    assert (acted, came) == ([1], [signal.SIGUSR1])
    assert signal.getsignal(signal.SIGUSR1) == before


def test_only_changes_are_reported_and_the_last_ones_are_seen(monkeypatch):
    looks = iter([["missing", "running"], ["finished", "running"], ["finished", "finished"]])
    alive = iter([True, True, False])

    def statuses(plan):
        kinds = next(looks)
        return [JobStatus(name, State(kind), None) for name, kind in zip("ab", kinds, strict=True)]

    monkeypatch.setattr(launchers, "job_statuses", statuses)
    monkeypatch.setattr(launchers, "POLL", 0.0)
    said: list[str] = []
    launchers.watch(Plan("p", "out", [], []), alive=lambda: next(alive), say=said.append)
    assert [line.split()[1:] for line in said] == [
        ["running", "b"],
        ["finished", "a"],
        ["finished", "b"],
    ]
