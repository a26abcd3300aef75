"""Know the names of splits, for folders and for lists alike: which of them are for training, and
which were put aside.

A name is read without regard to case, numbers and the words that say nothing ("set", "images"):
``train2017``, ``Test_set`` and ``validation-images`` are all understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Side = Literal["train", "val", "test"]

SIDES: dict[str, Side] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "holdout": "test",
    "heldout": "test",
}
FILLERS = {"set", "data", "dataset", "split", "image", "images", "img", "imgs"}
HELD: tuple[Side, ...] = ("val", "test")  # the first that there is, is evaluated on


def side_of(name: str) -> Side | None:
    """Return what a folder or a field called ``name`` is for; None where it names no split."""
    plain = name.strip().lower().replace("hold_out", "holdout").replace("held_out", "heldout")
    words = [word for word in re.split(r"[\W\d_]+", plain) if word and word not in FILLERS]
    if len(words) != 1:
        return None
    word = words[0]
    for filler in ("set", "data"):  # testset
        word = word.removesuffix(filler) if word.removesuffix(filler) in SIDES else word
    return SIDES.get(word)


def held_of(sides: Iterable[Side | None]) -> Side | None:
    """Return the side to evaluate on, of those that there are; None where none was put aside."""
    found = set(sides)
    return next((side for side in HELD if side in found), None)
