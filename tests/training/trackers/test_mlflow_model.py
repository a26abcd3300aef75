"""The file that MLflow keeps with a model runs where ssl_patches is not."""

from __future__ import annotations

import ast

from small import REPOSITORY


def test_it_imports_nothing_of_ours():
    file = REPOSITORY / "ssl_patches" / "training" / "trackers" / "mlflow_model.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(each.name for each in node.names)]
        if name
    }
    assert names == {"mlflow", "numpy", "timm", "torch", "typing", "Any"}
