"""Measure how good frozen features are: probes, floors beside them, every metric with bounds.

Names are imported when they are asked for: whoever lists runs or checks a request needs a row of a
table, and not the probes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_patches.evaluation.evaluate import evaluate_encoder, evaluate_model, score
    from ssl_patches.evaluation.features.eval_data import EvalData
    from ssl_patches.evaluation.features.extract import extract, raw_pixels
    from ssl_patches.evaluation.probes.base import Probe
    from ssl_patches.evaluation.probes.inputs import ProbeInputs
    from ssl_patches.evaluation.probes.knn import weighted_knn
    from ssl_patches.evaluation.probes.linear import linear_probe
    from ssl_patches.evaluation.probes.table import probe_names, probes_named
    from ssl_patches.evaluation.protocol import PROTOCOL
    from ssl_patches.evaluation.record import Paired, Record, paired
    from ssl_patches.evaluation.rows import Row, accuracy_row, table, wilson

    Bench, Case = EvalData, ProbeInputs

__all__ = [
    "PROBES",
    "PROTOCOL",
    "Bench",
    "Case",
    "EvalData",
    "Paired",
    "Probe",
    "ProbeInputs",
    "Record",
    "Row",
    "accuracy_row",
    "evaluate_encoder",
    "evaluate_model",
    "extract",
    "linear_probe",
    "paired",
    "probe_names",
    "probes_named",
    "raw_pixels",
    "score",
    "table",
    "weighted_knn",
    "wilson",
]

FILES = {
    "EvalData": "features.eval_data",
    "PROTOCOL": "protocol",
    "Paired": "record",
    "Probe": "probes.base",
    "ProbeInputs": "probes.inputs",
    "Record": "record",
    "Row": "rows",
    "accuracy_row": "rows",
    "evaluate_encoder": "evaluate",
    "evaluate_model": "evaluate",
    "extract": "features.extract",
    "linear_probe": "probes.linear",
    "paired": "record",
    "probe_names": "probes.table",
    "probes_named": "probes.table",
    "raw_pixels": "features.extract",
    "score": "evaluate",
    "table": "rows",
    "weighted_knn": "probes.knn",
    "wilson": "rows",
}
"""Name -> the file below this folder that it is imported from."""
FORMER = {"Bench": "EvalData", "Case": "ProbeInputs"}
"""Former name -> name."""


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for; ``PROBES`` are the installed probes by name."""
    if name == "PROBES":
        table = importlib.import_module("ssl_patches.evaluation.probes.table")
        return table.probes_named(table.probe_names())
    today = FORMER.get(name, name)
    if today in FILES:
        return getattr(importlib.import_module(f"{__name__}.{FILES[today]}"), today)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
