"""Record a run for TensorBoard: rows, pictures, alarms as texts, and a line of the HParams tab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from ssl_patches.data.opening import open_image
from ssl_patches.training.trackers.tracked import RunFacts, flat, found_in

NO_SETTINGS = {"run_dir", "resume", "overwrite", "logger", "callbacks"}
"""Keys of a configuration that say nothing of what a run learns."""


class TensorBoardRun(TensorBoardLogger):
    """A run as TensorBoard keeps it; settings as for Lightning's TensorBoardLogger.

    ``lost``: it takes nothing more.
    """

    lost = False

    def refusals(self) -> tuple[type[Exception], ...]:
        """Return the errors of the disk."""
        return (OSError,)

    def begin(self, facts: RunFacts) -> None:
        """Take nothing: settings go with the results they led to."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Log the pictures of files under a name."""
        add_pictures(self, key, images, step)

    def alert(self, title: str, text: str) -> None:
        """Log an alarm as a text."""
        self.experiment.add_text("alarms", f"{title}: {text}")

    def conclude(self, facts: RunFacts, summary: Mapping[str, Any]) -> None:
        """Write settings and results as a line of the HParams tab."""
        settings = {key: value for key, value in facts.config.items() if key not in NO_SETTINGS}
        found = found_in(facts.run_dir, summary)
        self.log_hyperparams(flat(settings), found, int(summary["budget_used"]["steps"]))

    def close(self, *, failed: bool) -> None:
        """Write what is left to the disk."""
        self.experiment.flush()
        self.experiment.close()


def add_pictures(
    logger: TensorBoardLogger, key: str, files: Sequence[Any], step: int | None = None
) -> None:
    """Log the pictures of files under a name, to ours or to one that a user named."""
    for file in files:
        with open_image(str(file)) as image:
            pixels = np.asarray(image.convert("RGB"))
        logger.experiment.add_image(key, pixels, step, dataformats="HWC")
