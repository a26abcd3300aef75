"""Tell trackers (W&B, MLflow, TensorBoard) what a run is, what it found and what it leaves."""
