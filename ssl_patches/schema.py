"""What the commands take besides nodes with a ``_target_``, and what the program gives to those; imports no torch."""

from __future__ import annotations

from typing import Literal

LOADER = {
    "batch_size": int,
    "num_workers": int,
    "channels": int | None,
    "statistics": Literal["imagenet", "measured"] | dict[Literal["mean", "std"], list[float]] | None,
}
"""Keys of the data group that the program reads itself; a source gets of them only ``channels``, if it takes them."""

SUPPLIED = {
    "data": {"split", "image_size", "load_size"},
    "views": {"image_size"},
    "sampler": {"image_size", "unit", "multiple", "mean", "std"},
    "encoder": {"image_size", "channels"},
    "task": {"dim", "grid"},
    "logger": {"run_dir"},
}
"""What the program gives to each group of the configuration when it builds it."""

EVALUATION = {"train_images": int | None, "test_images": int | None, "batch_size": int}

PRETRAIN = {
    "seed": int,
    "image_size": int,
    "budget": {"images": float | None, "epochs": float | None, "flops": float | None, "seconds": float | None},
    "run_dir": str | None,
    "resume": bool,
    "overwrite": bool,
    "evaluation": EVALUATION,
    "data": LOADER,
    "views": dict,
    "sampler": dict,
    "encoder": dict,
    "task": dict,
    "optimizer": dict,
    "trainer": dict,
    "logger": dict | None,
}

EVALUATE = {"model": str, "pretrained": bool, "precision": Literal["fp32", "bf16"], **EVALUATION}

DOCTOR = {
    "data": {"root": str, "channels": int | None, "value_range": list[float] | None},
    "quarantine": str,
    "overwrite": bool,
    "num_workers": int | None,
}

EXPORT = {"model": str, "output": str, "formats": list[str], "checkpoint": str | None, "overwrite": bool}
