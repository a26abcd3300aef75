"""Grid sweeps of the stub of W&B's server: agents ask for runs until there are none left."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml


@dataclass
class Sweep:
    """A sweep as its YAML file says it; ``given``: the arguments of each run, by its id."""

    name: str
    config: dict[str, Any]
    given: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left: Iterator[tuple[Any, ...]] = itertools.product(
            *(known["values"] for known in self.config["parameters"].values())
        )

    def commands(self, running: dict[str, bool]) -> list[dict[str, Any]]:
        """What an agent is to do: the next run, nothing while it has one, or its end."""
        if running:
            return []
        values = next(self.left, None)
        if values is None:
            return [{"type": "exit"}]
        args = dict(zip(self.config["parameters"], values, strict=True))
        name = f"{self.name}-{len(self.given)}"
        self.given[name] = args
        said = {key: {"value": value} for key, value in args.items()}
        program = self.config["program"]
        return [{"type": "run", "run_id": name, "program": program, "args": said}]

    def as_answer(self) -> dict[str, Any]:
        """What the server says about it."""
        about = {"id": self.name, "name": self.name, "method": self.config["method"]}
        about |= {"state": "RUNNING", "config": yaml.safe_dump(self.config)}
        return {**about, "runs": {"edges": []}}
