"""Record a run for MLflow: in a file or on a tracking server.

Settings become params by their dotted keys, results and floors metrics, pictures artifacts, and the
exported encoder a model with a signature, which MLflow loads without ``ssl_patches``.

Lightning has a logger for MLflow; it makes the store as soon as it is built, before a run directory
is claimed, and ends the record before there are results.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from ssl_patches.config.outside import read_json
from ssl_patches.encoders.exported import CARD
from ssl_patches.training.trackers.tracked import RunFacts, flat, found_in, study_of

IDENTITY = "ssl_patches_run"
"""The tag by which a resumed run finds its record."""
ADDRESS = "MLFLOW_TRACKING_URI"
MOST_TEXT, MOST_PARAMS = 500, 100


def store_of(run_dir: Path) -> tuple[str, str]:
    """Return the address of a store inside a run directory, and where its artifacts lie.

    ValueError for a directory that cannot be in such an address.
    """
    folder = run_dir / "mlruns"
    if "?" in str(folder) or "%" in str(folder):
        raise ValueError(
            f"run_dir={run_dir}: a store of MLflow inside it cannot have ? or % in its address; set"
            " logger.tracking_uri=sqlite:////FOLDER/mlflow.db, or another run_dir"
        )
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


class MlflowRun(Logger):
    """A run as MLflow keeps it. Nothing is written or asked before the run begins.

    ``store``: the address that is tracked to, and of artifacts, None: what the store has for them.
    ``experiment``: where runs are sorted in. ``identity``: of the run directory; a record that
    carries it goes on. ``model``: keep the exported encoder as a model. ``lost``: it takes nothing
    more.
    """

    def __init__(
        self,
        *,
        store: tuple[str, str | None],
        experiment: str,
        run_name: str,
        identity: str,
        tags: Mapping[str, str],
        model: bool,
    ) -> None:
        super().__init__()
        self.store, self.experiment, self.identity, self.model = store, experiment, identity, model
        self.tags = {"mlflow.runName": run_name, **tags, IDENTITY: identity}
        self.client: Any = None
        self.lost = False
        self.run_id = ""

    @property
    def name(self) -> str:
        """The experiment."""
        return self.experiment

    @property
    def version(self) -> str:
        """The id of the record, "" before the run begins."""
        return self.run_id

    def refusals(self) -> tuple[type[Exception], ...]:
        """Return the errors of MLflow, and those of the network and the disk."""
        from mlflow.exceptions import MlflowException

        return MlflowException, OSError

    def begin(self, facts: RunFacts) -> None:
        """Begin the record, or go on with it: params, tags, and ``config.yaml``."""
        from mlflow.tracking import MlflowClient

        address, artifacts = self.store
        self.client = MlflowClient(address)
        found = self.client.get_experiment_by_name(self.experiment)
        experiment = (
            found.experiment_id
            if found
            else self.client.create_experiment(self.experiment, artifact_location=artifacts)
        )
        asked = f"tags.`{IDENTITY}` = '{self.identity}'"
        begun = self.client.search_runs([experiment], asked, max_results=1)
        run = begun[0] if begun else self.client.create_run(experiment, tags=self.tags)
        self.run_id = run.info.run_id
        self.client.update_run(self.run_id, status="RUNNING")  # of one that was stopped
        tags = dict(zip(("task", "encoder", "data"), facts.tags, strict=True))
        tags["data_fingerprint"] = facts.fingerprint
        if study := study_of(facts.run_dir):
            tags["group"] = study
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, value)
        kept = run.data.params  # a param is never changed
        self.log_hyperparams({k: v for k, v in flat(facts.config).items() if k not in kept})
        self.client.log_artifact(self.run_id, str(facts.run_dir / "config.yaml"))

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any], *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Keep settings as params, cut to the length that MLflow takes."""
        from mlflow.entities import Param

        each = [Param(key, str(value)[:MOST_TEXT]) for key, value in params.items()]
        for at in range(0, len(each), MOST_PARAMS):
            self.client.log_batch(self.run_id, params=each[at : at + MOST_PARAMS])

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep a row."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        each = [Metric(key, float(value), now, step or 0) for key, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=each)

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Keep the pictures of files as artifacts ``KEY/step-N/FILE``."""
        for file in images:
            self.client.log_artifact(self.run_id, str(file), f"{key}/step-{step or 0:08d}")

    def alert(self, title: str, text: str) -> None:
        """Keep an alarm as a tag of the run."""
        self.client.set_tag(self.run_id, f"alarm {title}", text[:MOST_TEXT])

    def conclude(self, facts: RunFacts, summary: Mapping[str, Any]) -> None:
        """Keep results and floors as metrics, ``summary.json``, figures, and the encoder."""
        self.log_metrics(found_in(facts.run_dir, summary), int(summary["budget_used"]["steps"]))
        self.client.log_artifact(self.run_id, str(facts.run_dir / "summary.json"))
        if (facts.run_dir / "figures").is_dir():
            for file in sorted((facts.run_dir / "figures").glob("*.png")):
                self.client.log_artifact(self.run_id, str(file), "figures")
        if self.model and (facts.run_dir / "encoder" / CARD).is_file():
            self._keep_encoder(facts.run_dir / "encoder")

    def _keep_encoder(self, folder: Path) -> None:
        """Keep an export as a model: (B, C, H, W) prepared as its card says -> (B, dim)."""
        import mlflow
        import numpy as np
        import timm
        import torch
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        card = read_json(folder / CARD)
        images = card["preprocessing"]
        shape = (-1, images["channels"], images["height"], images["width"])
        single = np.dtype("float32")
        with tracking_to(self.store[0]), mlflow.start_run(run_id=self.run_id):
            mlflow.pyfunc.log_model(
                name="encoder",
                python_model=str(Path(__file__).with_name("mlflow_model.py")),
                artifacts={"encoder": str(folder.resolve())},
                signature=ModelSignature(
                    inputs=Schema([TensorSpec(single, shape)]),
                    outputs=Schema([TensorSpec(single, (-1, card["features"]))]),
                ),
                pip_requirements=[
                    f"torch=={torch.__version__.partition('+')[0]}",
                    f"timm=={timm.__version__}",
                ],
                metadata={"data_fingerprint": card["data_fingerprint"], "task": card["task"]},
            )

    def close(self, *, failed: bool) -> None:
        """End the record."""
        if self.run_id:
            self.client.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")


@contextmanager
def tracking_to(address: str) -> Iterator[None]:
    """Let MLflow's functions work on ``address`` inside, and be as they were afterwards.

    MLflow keeps its address in the environment too, where the next run would find it.
    """
    import mlflow

    before = os.environ.get(ADDRESS)
    mlflow.set_tracking_uri(address)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before or "")
        if before is None:
            os.environ.pop(ADDRESS, None)
