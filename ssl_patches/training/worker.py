"""Train along as one of several processes: ``python -m ssl_patches.training.worker
RUN_DIR/config.yaml``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ssl_patches import config
from ssl_patches.config.messages import Failed
from ssl_patches.training.prepare import prepare
from ssl_patches.training.run import carry_out


def main(argv: Sequence[str]) -> int:
    """Train along with the first process; write and say nothing, since what is wrong the first
    process says."""
    cfg = {
        **config.load(argv[0]),
        "resume": True,
    }  # there is a checkpoint when the first process goes on from one
    try:
        carry_out(cfg, prepare(cfg), began=0.0, end=_nothing, say=_nothing)
    except Failed:
        return 1
    return 0


def _nothing(*_: object, **__: object) -> None:
    """What a child says, and what it does at the end."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
