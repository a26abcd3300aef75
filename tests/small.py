"""Where the repository is, and the words that make a run tiny."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SMALL_VIT = ("encoder.options={depth:2,embed_dim:48,num_heads:3}", "encoder.patch_size=8")
SMALL_DATA = ("image_size=32", "data.count=64", "data.num_workers=0", "data.batch_size=16")
SMALL = (
    *SMALL_VIT,
    *SMALL_DATA,
    "budget.images=64",
    "evaluation.train_images=64",
    "evaluation.test_images=32",
)
"""Words after ``pretrain`` for a run of seconds: 4 steps of 16 images."""
