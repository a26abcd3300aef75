"""Check every contract on somebody's task or encoder, and tell all that does not hold at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ssl_patches.config.instantiate import signature
from ssl_patches.tasks.jigsaw import Jigsaw
from ssl_patches.tasks.masked import Masked
from ssl_patches.tasks.relative import Relative
from ssl_patches.testing import contracts
from ssl_patches.testing.pairs import MakeEncoder, MakeTask, Pair, put_together, small_encoders

APART = {"rows": 3, "cols": 3, "standardise": True}
ASKED: dict[str, tuple[MakeTask, Mapping[str, Any]]] = {
    "each tile alone": (partial(Relative, hidden=64), APART),
    "tiles at shuffled places": (partial(Jigsaw, permutations=9, hidden=64), APART),
    "placed and hidden tiles": (partial(Masked, width=48, heads=3, depth=1), {}),
}
"""What tasks ask of an encoder, each by one of ours."""


class ContractBroken(AssertionError):
    """Raised for a class that breaks contracts. ``problems``: one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def check_task(
    task: MakeTask,
    *,
    sampler: Mapping[str, Any] | None = None,
    encoders: Mapping[str, MakeEncoder] | None = None,
    image_size: int = 32,
) -> None:
    """Check a task on ``encoders`` (a ViT and a ResNet by default).

    ``task``: the class, or a partial of it. ``sampler``: the knobs of PatchSampler it wants; none:
    tiles that fill the view. An encoder that refuses such tiles is left out, as it would refuse
    them in a run; one has to take them. ContractBroken with every contract that does not hold.
    """
    if problems := _constructor(task):
        raise ContractBroken(problems)
    refusals: list[str] = []
    for name, encoder in (encoders or small_encoders()).items():
        make = partial(put_together, task, encoder, sampler=sampler, image_size=image_size)
        try:
            make()
        except ValueError as refusal:
            refusals.append(f"{name}: {refusal}")
            continue
        problems += _broken(contracts.TASK, make, name)
    if len(refusals) == len(encoders or small_encoders()):
        problems += [f"no encoder takes these tiles: {refusal}" for refusal in refusals]
    if problems:
        raise ContractBroken(problems)


def check_encoder(encoder: MakeEncoder, *, image_size: int = 32) -> None:
    """Check the encoder that ``encoder(image_size=...)`` makes.

    It is asked as tasks ask: each tile alone, tiles at shuffled places, placed and hidden tiles. An
    encoder may refuse one of these by ``check`` (ValueError), not all.
    ContractBroken with every contract that does not hold.
    """
    problems, refusals, pairs = [], [], {}
    for name, (task, sampler) in ASKED.items():
        pairs[name] = partial(put_together, task, encoder, sampler=sampler, image_size=image_size)
        try:
            pairs[name]()
        except ValueError as refusal:
            refusals.append(f"{name}: {refusal}")
            del pairs[name]
    for name, make in pairs.items():
        problems += _broken(contracts.ENCODER, make, name)
    if pairs:
        problems += _broken(
            (contracts.features_have_their_shapes,), next(iter(pairs.values())), "whole images"
        )
    if "placed and hidden tiles" in pairs:
        placed = (contracts.placed_tiles_differ_by_place_but_not_by_slot,)
        problems += _broken(placed, pairs["placed and hidden tiles"], "placed tiles")
    if not pairs:
        problems += [f"it refuses whatever is asked: {refusal}" for refusal in refusals]
    if problems:
        raise ContractBroken(problems)


def _broken(
    asked: Sequence[Callable[[Pair], None]], make: Callable[[], Pair], where: str
) -> list[str]:
    """List what does not hold, each contract on a pair of its own."""
    problems = []
    for contract in asked:
        try:
            contract(make())
        except AssertionError as error:
            problems.append(f"{contract.__name__.replace('_', ' ')} ({where}): {error}")
    return problems


def _constructor(task: MakeTask) -> list[str]:
    """Check a signature as the schema of a configuration.

    A knob without annotation or default cannot be checked or left out.
    """
    given = ("dim", "grid", *(task.keywords if isinstance(task, partial) else ()))
    knobs, _ = signature(task.func if isinstance(task, partial) else task)
    problems = [
        f"the constructor takes no '{name}'; the program gives it"
        for name in ("dim", "grid")
        if name not in knobs
    ]
    for name, knob in knobs.items():
        if name in given:
            continue
        if knob.annotation is inspect.Parameter.empty:
            problems.append(
                f"knob '{name}' has no annotation; values from a configuration are checked"
                " against it"
            )
        if knob.default is inspect.Parameter.empty:
            problems.append(f"knob '{name}' has no default; give one, or every command has to")
    return problems
