"""How good frozen features are: kNN, a linear probe, and the floors beside them, every figure with its bounds."""

from ssl_patches.evaluation.evaluate import PROTOCOL, evaluate_encoder, score
from ssl_patches.evaluation.features import extract, raw_pixels
from ssl_patches.evaluation.intervals import Row, accuracy_row, table, wilson
from ssl_patches.evaluation.knn import weighted_knn
from ssl_patches.evaluation.linear import linear_probe

__all__ = [
    "PROTOCOL",
    "Row",
    "accuracy_row",
    "evaluate_encoder",
    "extract",
    "linear_probe",
    "raw_pixels",
    "score",
    "table",
    "weighted_knn",
    "wilson",
]
