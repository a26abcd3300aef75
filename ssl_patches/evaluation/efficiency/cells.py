"""Keep what was computed for one model, column, number of labels and draw: a cell.

A study of labels takes minutes to hours and may be killed: each cell is written when it is done,
and is taken from disk the next time. Its name is the hash of all that decides it: the weights, the
images and how they are prepared, the settings of the column (``keys.key_of``).

The trap: images that cannot be recognised (a Dataset of one's own without a ``kept_key``) may have
changed unseen, so nothing is kept of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from ssl_patches.config.atomic import replacing
from ssl_patches.config.keys import key_of
from ssl_patches.config.outside import parse_json
from ssl_patches.evaluation.record import narrowed, widened


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one draw of labelled images gave, and what it cost.

    ``answers``: predictions for N test images, (N, ...), or counts of their pixels (N, classes,
    classes). ``targets`` (N, ...): what is right; empty for masks. ``size``: labelled images per
    class, or images. ``chosen``: settings that were chosen on labelled training images.
    ``seconds``, ``flops``: spent on it.
    """

    answers: Tensor
    targets: Tensor
    size: float
    seconds: float = 0.0
    flops: float = 0.0
    chosen: Mapping[str, Any] = field(default_factory=dict)


class Cells:
    """The cells of one model, in memory and in a folder; None: in memory only.

    ``deciding``: all that is the same for every cell of the model.
    """

    def __init__(self, folder: Path | None, **deciding: Any) -> None:
        self.folder, self.deciding = folder, deciding
        self.made: dict[str, Cell] = {}

    def load(self, **which: Any) -> Cell | None:
        """Read a cell; None where it is not there or damaged."""
        name = self._name(which)
        if name in self.made or self.folder is None:
            return self.made.get(name)
        try:
            with np.load(self.folder / name, allow_pickle=False) as stored:
                told = parse_json(str(stored["told"]))
                answers, targets = (widened(stored[name]) for name in ("answers", "targets"))
            return Cell(answers=answers, targets=targets, **told)
        # whatever is wrong with a cell, it is computed again
        except (OSError, KeyError, TypeError, ValueError, BadZipFile):
            return None

    def save(self, cell: Cell, **which: Any) -> None:
        """Keep a cell; a reader sees all of it or nothing."""
        name = self._name(which)
        self.made[name] = cell
        if self.folder is None:
            return
        told = {name: vars(cell)[name] for name in ("size", "seconds", "flops", "chosen")}
        with replacing(self.folder / name) as half, half.open("wb") as file:
            np.savez_compressed(
                file,
                told=json.dumps(told, default=str),
                answers=narrowed(cell.answers),
                targets=narrowed(cell.targets),
            )

    def _name(self, which: Mapping[str, Any]) -> str:
        return f"{key_of(**self.deciding, **which)[:24]}.npz"


def nothing() -> Tensor:
    """Return targets of masks, which counts of pixels hold already: (0,)."""
    return torch.zeros(0, dtype=torch.long)
