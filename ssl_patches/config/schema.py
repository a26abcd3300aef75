"""List what the commands take besides nodes with a ``_target_``, and what the program gives to
those; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

LOADER = {
    "batch_size": int,
    "num_workers": int,
    "channels": int | None,
    "value_range": list[float] | None,
    "cache": bool | str | None,
    "cache_max_gb": float | None,
    "statistics": (
        Literal["imagenet", "measured"] | dict[Literal["mean", "std"], list[float]] | None
    ),
}
"""Keys of the data group that the program reads itself; a source gets of them only ``channels`` and
``value_range``, if it takes them.

``batch_size``: images that a process takes at a time; a step has this times trainer.accumulate and
processes. Why: what the learning rates of the papers are stated for; data sets of a few hundred
images want less.
``num_workers``: processes that decode images, 0: none. Why: right for small machines; as many as
cores where data are waited for.
``channels``: of the images, 1 to N. Why: red, green and blue.
``value_range``: the stored values that become black and white in images of more than 8 bits, such
as [0,4095] for 12 bits in 16; null: the range of their type. Why: the type is all that is known.
``cache``: true, or a folder: images are decoded once, before training, and read from a
memory-mapped file that runs share; null: decoded every time. Why: it takes room on a disk, and only
where data are waited for it gives something.
``cache_max_gb``: a cache that would be larger is refused, 20 where null. Why: nobody's disk shall
fill up unasked.
``statistics``: what pixels are normalised by: imagenet (averaged for other than 3 channels),
measured (on the training images), or {mean: [...], std: [...]}. Why: what pretrained encoders of
timm expect; measure for images that are no photographs.
"""

SUPPLIED = {
    "data": {"split", "image_size", "load_size"},
    "views": {"image_size"},
    "sampler": {"image_size", "unit", "multiple", "mean", "std"},
    "encoder": {"image_size", "channels"},
    "task": {"dim", "grid"},
    "logger": {"run_dir"},
    "logger.*": {"run_dir"},
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
    "budget": {
        "images": float | None,
        "epochs": float | None,
        "flops": float | None,
        "seconds": float | None,
    },
    "run_dir": str | None,
    "resume": bool,
    "overwrite": bool,
    "evaluation": EVALUATION,
    "export": Literal["timm", "none"],
    "data": LOADER,
    "views": dict,
    "sampler": dict,
    "encoder": dict,
    "task": dict,
    "spread": dict | None,
    "optimizer": dict,
    "trainer": dict,
    "logger": dict | None,
    "callbacks": dict | None,
}

EVALUATE = {
    "model": str,
    "against": str | None,
    "rivals": list[str],
    "rival_size": int | None,
    "label_efficiency": {
        "labels": list[int] | None,
        "draws": int,
        "columns": list[str],
        "trials": int,
        "tuned_draws": int,
        "of": Literal["auto", "labels", "masks"],
        "metric": Literal["balanced"] | None,
    },
    "figures": str | None,
    "output": str | None,
    "pretrained": bool,
    "precision": Literal["fp32", "bf16"] | None,
    **EVALUATION,
}

EMBED = {
    "model": str,
    "output": str,
    "splits": list[Literal["train", "val"]],
    "tiles": int | None,
    "batch_size": int,
    "rows_per_part": int,
    "pretrained": bool,
    "precision": Literal["fp32", "bf16"],
    "overwrite": bool,
}

DUPLICATES = {
    "model": str,
    "output": str,
    "splits": list[Literal["train", "val"]],
    "similarity": float,
    "neighbours": int,
    "outlier": float,
    "batch_size": int,
    "pretrained": bool,
    "precision": Literal["fp32", "bf16"],
    "overwrite": bool,
}

VIEW = {"port": int, "seconds": float | None, "images": int}

EXPORT = {
    "model": str,
    "output": str,
    "formats": list[str],
    "checkpoint": str | None,
    "weights": Literal["trained", "ema"],
    "precision": Literal["fp32", "fp16", "bf16"],
    "input": Literal["float32", "uint8", "uint16"],
    "image_size": int | None,
    "license": str | None,
    "overwrite": bool,
}

PUSH = {
    "model": str,
    "hub": str,
    "private": bool,
    "license": str | None,
    "overwrite": bool,
}

STUDY = {
    "name": str,
    "base": dict[str, Any] | list[str],
    "axes": dict[str, list[Any] | str],
    "without": list[dict[str, Any]],
    "budget": float | dict[str, float] | None,
    "supervised": bool,
    "tune": dict | None,
}
TUNE = {
    "values": dict[str, Any],
    "share": float,
    "seed": int,
    "trials": int | None,
    "flops": float | None,
    "prune": bool,
}
DOCTOR = {
    "data": {
        "root": str,
        "channels": int | None,
        "value_range": list[float] | None,
        "split_folders": bool | None,
    },
    "quarantine": str | None,
    "overwrite": bool,
    "num_workers": int | None,
}


PACK = {
    "data": {"root": str, "split_folders": bool | None},
    "output": str,
    "shard_mb": int,
}


def channels_of(cfg: Mapping[str, Any]) -> int:
    """Return the number of channels of the images, 3 where the configuration does not say."""
    return cfg["data"].get("channels") or 3
