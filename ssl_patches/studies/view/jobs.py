"""Compute what pages ask for, one thing at a time, in the main thread, while others serve.

Why the main thread: ctrl-C ends a computation there at once, and there is never more than one. Who
asks gets a ``Computation`` back and looks at it again later.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generic, Literal, TypeVar

from ssl_patches.config.messages import Say

Result = TypeVar("Result")
KEPT = 4  # results in memory: each may hold an encoder
TOLD = 5.0  # seconds between lines of progress


class Computation(Generic[Result]):
    """A computation: ``state``, what is being done, and the result once it is done."""

    def __init__(self, name: str, say: Say) -> None:
        self.name, self._say = name, say
        self.state: Literal["waiting", "working", "done", "failed"] = "waiting"
        self.doing, self.done, self.total = "waiting for another computation", 0, 0
        self.error = ""
        self.result: Result | None = None
        self._began = self._told = time.monotonic()

    def begin(self, doing: str, total: int = 0) -> None:
        """Say what is done from now on; ``total``: of how many steps, 0: not known."""
        self.doing, self.done, self.total = doing, 0, total
        self._began = self._told = time.monotonic()
        self._say(f"{self.name}: {doing}")

    def step(self, count: int) -> None:
        """Count steps that are done, and say so now and then."""
        self.done += count
        if time.monotonic() - self._told > TOLD:
            self._told = time.monotonic()
            self._say(f"{self.name}: {self.doing}, {self.done:,} of {self.total:,}{self._left()}")

    def seconds_left(self) -> float | None:
        """Estimate the seconds that are left of what is being done; None where nobody knows."""
        if not self.done or not self.total:
            return None
        return (time.monotonic() - self._began) / self.done * max(self.total - self.done, 0)

    def _left(self) -> str:
        left = self.seconds_left()
        return "" if left is None else f", {left:.0f} s left"


Make = Callable[[Computation[Result]], Result]
"""What computes a result, and tells its progress to the computation that it is given."""


class Computations:
    """The computations of a server, by key; ``work`` carries them out in the order asked."""

    def __init__(self, say: Say) -> None:
        self._say, self._lock = say, Lock()
        self._known: OrderedDict[Any, Computation[Any]] = OrderedDict()
        self._waiting: SimpleQueue[tuple[Computation[Any], Make[Any]] | None] = SimpleQueue()

    def ask(self, key: Any, name: str, make: Make[Result]) -> Computation[Result]:
        """Return the job of ``key``; one that is new is carried out by ``make``.

        One that failed is handed out once; who asks again has it tried anew.
        """
        with self._lock:
            job = self._known.get(key)
            if job is None:
                job = self._known[key] = Computation(name, self._say)
                self._waiting.put((job, make))
            elif job.state == "failed":
                del self._known[key]
            elif job.state == "done":
                self._known.move_to_end(key)
            self._forget()
            return job

    def _forget(self) -> None:
        done = [key for key, job in self._known.items() if job.state == "done"]
        for key in done[:-KEPT]:
            del self._known[key]

    def work(self) -> None:
        """Carry out jobs until ``stop``; what goes wrong with files or memory, the job tells."""
        while (next_one := self._waiting.get()) is not None:
            job, make = next_one
            job.state = "working"
            try:
                job.result = make(job)
            except (OSError, ValueError, RuntimeError, MemoryError) as error:
                job.error = str(error) or type(error).__name__
                job.state = "failed"
                self._say(f"{job.name}: {job.error}")
            else:
                job.state = "done"
                self._say(f"{job.name}: done")

    def stop(self) -> None:
        """Have ``work`` return when what it is at is done."""
        self._waiting.put(None)
