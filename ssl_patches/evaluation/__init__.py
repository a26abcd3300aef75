"""Measure how good frozen features are: probes, floors beside them, every metric with bounds."""

from typing import Any

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
"""Former names."""

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


def __getattr__(name: str) -> Any:
    """Give ``PROBES``, the installed probes by name, when it is asked for: some are slow to
    import."""
    if name == "PROBES":
        return probes_named(probe_names())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
