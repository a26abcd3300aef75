"""Set what holds for the whole process, once, where a command starts.

Nothing that builds, trains or computes features changes them, so that a program which uses the
package as a library keeps its own.
"""

from __future__ import annotations

import logging
import os
import warnings

from ssl_patches.config.malloc import keep_freed_memory

UNHELPFUL = (
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    ".*in eval mode at the start of training.*",  # BatchNorm of which the statistics are fixed
    ".*`srun` command is available.*",  # also where Slurm is there and not meant
)
"""Lightning's hints about settings that are deliberate here."""


def before_torch() -> None:
    """Let idle OpenMP threads sleep; takes effect only before torch is loaded.

    A spinning team of threads stands still whenever a loader worker takes one of its cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def before_training() -> None:
    """Silence Lightning's hints and keep freed memory, for the rest of the process."""
    import lightning  # noqa: F401 -- sets the levels of its loggers when it is loaded

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in UNHELPFUL:
        warnings.filterwarnings("ignore", message=message)
    keep_freed_memory()
