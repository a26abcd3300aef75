"""Contenders in a process of their own: how freed memory is kept is a setting of a whole process,
and part of a contender."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

from timing import Contender, one_thread, seconds


class Elsewhere:
    """A process that builds ``build(*given)`` and runs a step of one of them when it is asked.
    Waits in between.

    ``build``: found by name in an importable module. ``contenders``: to be run here as if they were
    here.
    """

    def __init__(self, build: Callable[..., Sequence[Contender]], *given: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, build, given), daemon=True)
        self.process.start()
        other.close()
        names, images = self.pipe.recv()
        self.contenders = [
            Contender(name, lambda name=name: self._step(name), images, timed=True)
            for name in names
        ]

    def _step(self, name: str) -> float:
        self.pipe.send(name)
        return self.pipe.recv()

    def end(self) -> None:
        self.pipe.send(None)
        self.process.join()


def _serve(pipe: Any, build: Callable[..., Sequence[Contender]], given: tuple[Any, ...]) -> None:
    one_thread()
    table = {contender.name: contender for contender in build(*given)}
    pipe.send((list(table), next(iter(table.values())).images))
    while (name := pipe.recv()) is not None:
        pipe.send(seconds(table[name].run))
