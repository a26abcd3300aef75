"""A scikit-learn pipeline on features: python sklearn_pipeline.py FEATURES.parquet, as `ssl-patches
embed` writes them."""

import sys

import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

table = pq.read_table(sys.argv[1], columns=["split", "label", "vector"])
x = np.stack(table["vector"].to_numpy())
y, split = table["label"].to_numpy(), table["split"].to_numpy()
train, val = split == "train", split == "val"
classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(
    x[train], y[train]
)
print(f"accuracy {100 * classifier.score(x[val], y[val]):.1f} % of {val.sum()}")
