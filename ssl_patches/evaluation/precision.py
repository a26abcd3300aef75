"""Choose the precision in which an encoder is asked about images.

A run is evaluated at its end in the precision of its steps, its floors too. What is evaluated later
is read in the same, or the figures would not be those that the run reported: features differ a
little between bf16 and fp32 (``benchmarks/evaluation_precision.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ssl_patches.config.native_bf16 import native_bf16
from ssl_patches.encoders.subject import Subject
from ssl_patches.evaluation.features.extract import Precision


class PrecisionChoice(NamedTuple):
    """A precision, and what is to be said of it ("" for nothing)."""

    precision: Precision
    said: str


def precision_for(asked: Precision | None, subject: Subject) -> PrecisionChoice:
    """Choose the precision that was asked for; null: that of the run where this machine has it.

    fp32 for a model that comes from no run.
    """
    if asked is not None:
        return PrecisionChoice(asked, "")
    own = own_precision(subject)
    if own == "fp32":
        return PrecisionChoice("fp32", "")
    if native_bf16("gpu" if torch.cuda.is_available() else "cpu"):
        return PrecisionChoice(
            "bf16", "precision: bf16, as the run itself; precision=fp32 for fp32"
        )
    return PrecisionChoice(
        "fp32",
        "precision: fp32, though the run was evaluated in bf16, which is slow on this machine:"
        " its figures may differ a little; precision=bf16 for the same",
    )


def own_precision(subject: Subject) -> Precision:
    """Return the precision of the run that a model comes from."""
    trainer = (subject.cfg or {}).get("trainer") or {}
    return "bf16" if trainer.get("precision") == "bf16" else "fp32"
