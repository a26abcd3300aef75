"""Read classes out of folders: those of CLASS/file, where there are two or more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.placed import FEW, Placed, count_of


@dataclass(frozen=True, slots=True)
class ClassReading:
    """The classes that some paths name, and what does not fit them."""

    classes: list[str]
    left: list[LeftOut]


def read_classes(placed: Sequence[Placed]) -> ClassReading:
    """Read classes out of paths: those of CLASS/file, where there are two or more.

    All but a few images have to lie so. What does not is told.
    """
    regular = [each for each in placed if each.depth == 1]
    names = sorted({each.name for each in regular})
    odd = [each for each in placed if each.depth != 1]
    if len(names) >= 2 and count_of(odd) <= max(1, count_of(placed) // FEW):
        return ClassReading(names, _odd(odd))
    if len(names) >= 2:
        why = (
            f"not at CLASS/file as the {count_of(regular):,} others in {len(names)} folders are, so"
            " that no image has a label"
        )
        return ClassReading([], [_unlabelled(odd, why)])
    deep = [each for each in odd if each.depth]
    if deep and len({each.below for each in deep}) > 1:
        why = (
            "deeper than CLASS/file, so that no image has a label; set data.root to the folder"
            " of the classes if there are any"
        )
        return ClassReading([], [_unlabelled(deep, why)])
    return ClassReading([], [])


def _unlabelled(placed: Sequence[Placed], why: str) -> LeftOut:
    # of several that read the same without the folder of the split, the last
    least = min(each.least_below for each in placed)
    example = max(each.least for each in placed if each.least_below == least)
    return LeftOut(count_of(placed), "images", example, why, "unlabelled")


ODD = "not at CLASS/file as the others are"


def _odd(placed: Sequence[Placed]) -> list[LeftOut]:
    return [_unlabelled(placed, ODD)] if placed else []
