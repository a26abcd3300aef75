"""Every number that the figures depend on. Whoever changes one raises ``version``; two versions are not to be compared.

Version 2 added k = 1, 5, 200, and every probe after ``linear``; ``knn20_top1`` and ``linear_top1`` are as in version 1.
It is stored with every record and with the floors that are kept.
"""

from __future__ import annotations

from typing import Any

from ssl_patches.evaluation.linear import HELD_OUT, STRENGTHS
from ssl_patches.evaluation.metrics import LEVEL, RESAMPLES, SEED

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
    "interval": {"level": LEVEL, "accuracy": "wilson", "otherwise": "bootstrap", "resamples": RESAMPLES, "seed": SEED},
}
