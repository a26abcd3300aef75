"""What the commands take besides nodes with a ``_target_``, and what the program gives to those; imports no torch."""

from __future__ import annotations

from typing import Literal

LOADER = {"batch_size": int, "num_workers": int}
"""Keys of the data group that say how to load, not what; its ``_target_`` does not get them."""

SUPPLIED = {
    "data": {"split", "image_size", "load_size"},
    "views": {"image_size"},
    "sampler": {"image_size", "unit", "multiple", "mean", "std"},
    "encoder": {"image_size", "channels"},
    "task": {"dim", "grid"},
    "logger": {"run_dir"},
}
"""What the program gives to each group of the configuration when it builds it."""

EVALUATION = {
    "probes": list[str],
    "labels": Literal["auto", "class", "multilabel", "value"],
    "train_images": int | None,
    "test_images": int | None,
    "batch_size": int,
}

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

EVALUATE = {
    "model": str,
    "against": str | None,
    "figures": str | None,
    "output": str | None,
    "pretrained": bool,
    "precision": Literal["fp32", "bf16"],
    **EVALUATION,
}

EXPORT = {"model": str, "output": str, "formats": list[str], "checkpoint": str | None, "overwrite": bool}
