"""How good frozen features are: probes, and the floors beside them, every figure with its bounds."""

from ssl_patches.evaluation.evaluate import evaluate_encoder, evaluate_model, score
from ssl_patches.evaluation.features import extract, raw_pixels
from ssl_patches.evaluation.intervals import Row, accuracy_row, table, wilson
from ssl_patches.evaluation.knn import weighted_knn
from ssl_patches.evaluation.linear import linear_probe
from ssl_patches.evaluation.probes import PROBES, Bench, Case, Probe
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.record import Paired, Record, paired

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
