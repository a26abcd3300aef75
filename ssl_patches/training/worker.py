"""Train along as one of several processes.

``python -m ssl_patches.training.worker RUN_DIR/config.yaml``
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ssl_patches import config
from ssl_patches.config.messages import Failed
from ssl_patches.config.plain_text import escape_what_tracebacks_say
from ssl_patches.training.prepare import prepare
from ssl_patches.training.process import before_training
from ssl_patches.training.run import execute


def main(argv: Sequence[str]) -> int:
    """Train along with the first process and return the exit code.

    It writes and says nothing: what is wrong the first process says. ``argv``: the path of the
    run's ``config.yaml``.
    """
    before_training()
    # there is a checkpoint when the first process goes on from one
    cfg = {**config.load(Path(argv[0])), "resume": True}
    try:
        execute(cfg, prepare(cfg), began=0.0, on_finished=_nothing, say=_nothing)
    except Failed:
        return 1
    return 0


def _nothing(*_: object, **__: object) -> None:
    """Do nothing: what a child says, and what it does at the end."""


if __name__ == "__main__":
    escape_what_tracebacks_say()
    sys.exit(main(sys.argv[1:]))
