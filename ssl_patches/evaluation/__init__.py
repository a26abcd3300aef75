"""How good frozen features are: probes, and the floors beside them, every figure with its
bounds."""

from ssl_patches.evaluation.evaluate import evaluate_encoder, evaluate_model, score
from ssl_patches.evaluation.features.bench import Bench
from ssl_patches.evaluation.features.extract import extract, raw_pixels
from ssl_patches.evaluation.probes.case import Case
from ssl_patches.evaluation.probes.knn import weighted_knn
from ssl_patches.evaluation.probes.linear import linear_probe
from ssl_patches.evaluation.probes.table import PROBES, Probe
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.record import Paired, Record, paired
from ssl_patches.evaluation.rows import Row, accuracy_row, table, wilson

__all__ = [
    "PROBES",
    "PROTOCOL",
    "Bench",
    "Case",
    "Paired",
    "Probe",
    "Record",
    "Row",
    "accuracy_row",
    "evaluate_encoder",
    "evaluate_model",
    "extract",
    "linear_probe",
    "paired",
    "raw_pixels",
    "score",
    "table",
    "weighted_knn",
    "wilson",
]
