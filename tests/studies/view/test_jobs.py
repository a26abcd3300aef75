"""Computations: one at a time, in the order asked, told while they go on."""

from __future__ import annotations

from threading import Thread

import pytest

from ssl_patches.studies.view import jobs as module
from ssl_patches.studies.view.jobs import KEPT, Computation, Computations


def worked(jobs: Computations) -> None:
    jobs.stop()
    jobs.work()


def test_jobs_are_carried_out_once_in_the_order_asked():
    jobs, order = Computations(lambda _: None), []
    for key in (1, 2, 1, 3):
        jobs.ask(key, "a map", lambda _, key=key: order.append(key) or key)
    worked(jobs)
    assert order == [1, 2, 3]
    assert jobs.ask(2, "a map", lambda _: 0).result == 2


def test_a_job_that_failed_says_why_once_and_is_then_tried_anew():
    told: list[str] = []
    jobs = Computations(told.append)

    def fail(_: Computation[int]) -> int:
        raise ValueError("the images are gone")

    jobs.ask("a", "run a", fail)
    worked(jobs)
    failed = jobs.ask("a", "run a", fail)
    assert (failed.state, failed.error) == ("failed", "the images are gone")
    assert told == ["run a: the images are gone"]
    jobs.ask("a", "run a", lambda _: 7)
    worked(jobs)
    assert jobs.ask("a", "run a", fail).result == 7


def test_only_the_last_results_stay_in_memory():
    jobs = Computations(lambda _: None)
    for key in range(KEPT + 2):
        jobs.ask(key, "", lambda _, key=key: key)
    worked(jobs)
    assert jobs.ask(KEPT + 1, "", lambda _: -1).result == KEPT + 1
    assert jobs.ask(0, "", lambda _: -1).state == "waiting"


def test_progress_says_how_long_it_takes_from_what_is_done(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    job: Computation[int] = Computation("run", told.append)
    assert job.seconds_left() is None
    job.begin("reading images", 100)
    now[0] = 10.0
    job.step(25)
    assert job.seconds_left() == 30.0
    assert told == ["run: reading images", "run: reading images, 25 of 100, 30 s left"]


def test_ctrl_c_ends_a_computation():
    def interrupted(_: Computation[int]) -> int:
        raise KeyboardInterrupt

    jobs = Computations(lambda _: None)
    jobs.ask("a", "", interrupted)
    with pytest.raises(KeyboardInterrupt):
        jobs.work()


def test_who_asks_from_other_threads_gets_the_same_job():
    jobs, found = Computations(lambda _: None), []
    threads = [
        Thread(target=lambda: found.append(jobs.ask("a", "", lambda _: 1))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(job) for job in found}) == 1
