"""Load an exported encoder inside MLflow: a file of its own that is kept with the model.

MLflow runs this file where the model is loaded, so it imports nothing of ``ssl_patches``.
"""

from typing import Any

import mlflow
import numpy as np
import timm
import torch


class KeptEncoder(mlflow.pyfunc.PythonModel):
    """An encoder that timm builds: prepared images (B, C, H, W) -> features (B, dim)."""

    def load_context(self, context: Any) -> None:
        """Build the encoder from the folder that was kept with the model."""
        folder = f"local-dir:{context.artifacts['encoder']}"
        self.encoder = timm.create_model(folder, pretrained=True).eval()

    def predict(self, context, model_input, params=None):  # MLflow reads annotations as a schema
        """Compute features (B, dim) of prepared images (B, C, H, W), both float32."""
        with torch.no_grad():
            return self.encoder(torch.from_numpy(np.ascontiguousarray(model_input))).numpy()


mlflow.models.set_model(KeptEncoder())
