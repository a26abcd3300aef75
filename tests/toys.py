"""Constructors to be named in configurations, as tests of config do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import Field

from ssl_patches.config.check import check
from ssl_patches.config.messages import BadRequest

if TYPE_CHECKING:
    from nowhere import Ghost  # an annotation that cannot be evaluated

HERE = __name__


class Live:
    pass


class Puzzle:
    def __init__(
        self,
        *,
        dim: int,
        permutations: int = 30,
        ratio: float = 0.5,
        flip: bool = False,
        mode: Literal["row", "cell"] = "row",
        sizes: tuple[int, int] = (1, 2),
        scales: list[float] | None = None,
        where: Path | None = None,
        live: Live | None = None,
        call: Callable[[int], int] | None = None,
        positive: Annotated[int, Field(gt=0)] = 1,
        options: dict[str, Any] | None = None,
    ) -> None:
        if permutations > 1000:
            raise ValueError(
                f"task.permutations={permutations}: must be at most 1000; set"
                " task.permutations=1000"
            )
        self.dim, self.permutations, self.options, self.live = dim, permutations, options, live


class Folder:
    def __init__(self, *, root: str, transform: Any = None) -> None:
        self.root, self.transform = root, transform


class Anything:
    def __init__(self, *, size: int = 1, **others: Any) -> None:
        self.others = others


class Haunted:
    def __init__(self, *, ghost: Ghost = None, size: int = 1) -> None:
        pass


def puzzle(**knobs: Any) -> dict[str, Any]:
    return {"_target_": f"{HERE}.Puzzle", **knobs}


def problems(cfg: dict[str, Any], **rules: Any) -> list[str]:
    with pytest.raises(BadRequest) as caught:
        check(cfg, **rules)
    return caught.value.problems
