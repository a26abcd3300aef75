"""Hold every number that the metrics depend on. Whoever changes one raises ``version``.

Two versions are not to be compared.

Version 2 added k = 1, 5, 200, and every probe after ``linear``; ``knn20_top1`` and ``linear_top1``
are as in version 1. It is stored with every record and with the floors that are kept.
"""

from __future__ import annotations

from typing import Any

from ssl_patches.evaluation.metrics import LEVEL, RESAMPLES, SEED

STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
HELD_OUT = 0.2

PROTOCOL: dict[str, Any] = {
    "version": 2,
    # k: what tables show first; ks: all that one pass gives
    "knn": {"k": 20, "ks": [1, 5, 20, 200], "temperature": 0.07, "similarity": "cosine"},
    "linear": {"strengths": list(STRENGTHS), "held_out": HELD_OUT, "seed": 0, "standardised": True},
    "layers": {"last": 4, "normalised": "by the model's own last norm, where it has one"},
    "attentive": {
        "learning_rates": [3e-4, 1e-3, 3e-3, 1e-2],
        "weight_decays": [1e-3, 5e-2],
        "steps": 1500,
        "batch": 256,
        "warmup": 0.1,
        "held_out": 0.1,
        "seed": 0,
    },
    "lowshot": {"per_class": [1, 5, 10, 50], "shares": [0.01, 0.1], "draws": 5},
    "raw_pixels": {"side": 16},
    "segmentation": {
        "layer": -1,
        "knn": {"k": 30, "temperature": 0.02, "similarity": "cosine", "memory": 500_000},
        "linear": {
            "strengths": [1e-1, 1e-2, 1e-3, 1e-4, 1e-5],
            "held_out": 0.2,
            "held_out_part": "last",
        },
        "raw_pixels": {"grid": 16, "each": 4},
    },
    "finetune": {
        "train_images": 2000,  # where no limit is set
        "epochs": 10,
        "batch_size": 64,
        "optimizer": {
            "base_lr": 2e-3,
            "weight_decay": 0.05,
            "betas": [0.9, 0.999],
            "warmup": 0.1,
            "clip": 1.0,
        },
        "layer_decay": 0.75,
        "label_smoothing": 0.1,
        "views": {"scale": [0.35, 1.0], "flip": 0.5},
        "head_std": 2e-5,
        "seed": 0,
    },
    # of experiments/patch_roles; they stand here because records of version 2 hold them
    "roles": {
        "train_images": 500,  # where no limit is set
        "test_images": 250,
        "tiles": {
            "each": [1, 2, 3, 4],
            "scale": 0.5,
        },  # each * each tiles, sides in shares of the image's
        "tile_scales": [0.25, 0.5, 0.75, 1.0],
        "input_factors": [0.5, 0.75, 1.0, 1.5],
        "relations": {"scale": 0.28, "seed": 0},
        "invariance": {"shift": 1 / 8, "zoom": 3 / 4, "crop": 1 / 2, "colour": 0.4, "seed": 0},
        "speed": {"batch": 16, "repeats": 5},
    },
    "interval": {
        "level": LEVEL,
        "accuracy": "wilson",
        "otherwise": "bootstrap",
        "resamples": RESAMPLES,
        "seed": SEED,
    },
}
