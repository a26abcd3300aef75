"""Record a run for Weights & Biases, on top of Lightning's logger.

Beside rows and pictures: settings as nested config, images seen as the x axis, alarms as alerts,
results and floors in the summary, the exported encoder as an artifact that names the fingerprint of
its images.

Trap: a sweep of W&B starts our command with the id of its run in the environment; whoever gives
another id makes runs that the sweep never hears of (``in_sweep``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import WandbLogger

from ssl_patches.training.rows import first_line
from ssl_patches.training.trackers.tracked import RunFacts, found_in

if TYPE_CHECKING:
    from wandb import Artifact

LONGEST_TITLE = 63
LONGEST_NAME = 100


def in_sweep() -> bool:
    """Tell whether ``wandb agent`` has started this process."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


class WandbRun(WandbLogger):
    """A run as W&B keeps it.

    ``artifacts``: keep the exported encoder and the identity of its data as artifacts.
    ``finish_timeout``: seconds that its end waits for the server. ``settings``: as for Lightning's
    WandbLogger. ``lost``: it takes nothing more.
    """

    lost = False

    def __init__(self, *, artifacts: bool, finish_timeout: float, **settings: Any) -> None:
        ends = {"finish_timeout": finish_timeout, "finish_timeout_raises": True}
        super().__init__(**settings, settings=ends)
        self.artifacts, self.finish_timeout = artifacts, finish_timeout
        self.batch_size = 0
        self.began = False
        self.shown: set[str] = set()

    def refusals(self) -> tuple[type[Exception], ...]:
        """Return the errors of W&B, and those of the network and the disk."""
        from wandb.errors import Error

        return Error, OSError

    def begin(self, facts: RunFacts) -> None:
        """Begin the run: tags, settings, images seen as the x axis of every chart, and its data.

        Online the run uses the data's artifact. That waits for the server, which has just answered;
        at the end of a training it may be gone.
        """
        self.batch_size = facts.batch_size
        run = self.experiment
        self.began = True
        run.tags = tuple(dict.fromkeys([*(run.tags or ()), *(tag[:64] for tag in facts.tags)]))
        run.define_metric("images")
        run.define_metric("*", step_metric="images", step_sync=True)
        run.config.update(dict(facts.config), allow_val_change=True)
        run.config.update({"data_fingerprint": facts.fingerprint}, allow_val_change=True)
        if self.artifacts and not run.offline:
            self._use(data_artifact(facts))

    def _use(self, data: Artifact) -> None:
        """Declare what the run learns from. CommError where the server takes no artifacts."""
        from wandb.errors import CommError

        try:
            self.experiment.use_artifact(data)
        except ValueError as error:
            raise CommError(
                f"{first_line(error)}; logger.artifacts=false leaves artifacts out"
            ) from error

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row, and beside it the images that were seen by then."""
        seen = {} if step is None else {"images": step * self.batch_size}
        super().log_metrics({**metrics, **seen}, step)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **given: Any) -> None:
        """Log pictures, and remember under which key."""
        self.shown.add(key)
        super().log_image(key, images, step, **given)

    def alert(self, title: str, text: str) -> None:
        """Send an alarm to whoever asked W&B for alerts."""
        self.experiment.alert(title=title[:LONGEST_TITLE], text=text, level="WARN")

    def conclude(self, facts: RunFacts, summary: Mapping[str, Any]) -> None:
        """Keep results, floors and health as the summary, last figures, and the encoder."""
        step = int(summary["budget_used"]["steps"])
        for file in sorted((facts.run_dir / "figures").glob("*.png")):
            if f"previews/{file.stem}" not in self.shown:
                self.log_image(f"previews/{file.stem}", [str(file)], step)
        self.experiment.summary.update(found_in(facts.run_dir, summary))
        self.experiment.summary.update({"data_fingerprint": facts.fingerprint})
        if self.artifacts and (facts.run_dir / "encoder").is_dir():
            self._keep_encoder(facts, summary)

    def _keep_encoder(self, facts: RunFacts, summary: Mapping[str, Any]) -> None:
        """Keep the export as an artifact that names the fingerprint of its data."""
        import wandb

        run = self.experiment
        if run.offline:  # what a run uses can be declared to a server only
            run.log_artifact(data_artifact(facts))
        encoder = wandb.Artifact(
            artifact_name(f"encoder-{run.id}"),
            type="model",
            description=f"{facts.encoder}, pretrained by {facts.task}; load it with timm.",
            metadata={
                **identity_of(facts),
                "task": facts.task,
                "encoder": facts.encoder,
                "images": summary["budget_used"]["images"],
                "results": {
                    key: value
                    for key, value in found_in(facts.run_dir, summary).items()
                    if key.startswith(("results/", "floors/"))
                },
            },
        )
        for file in sorted((facts.run_dir / "encoder").resolve().iterdir()):
            if file.is_file():  # the original is named, not copied
                encoder.add_file(str(file), policy="immutable", skip_cache=True)
        run.log_artifact(encoder)

    def close(self, *, failed: bool) -> None:
        """Finish the run. TimeoutError where the server did not take all of it in time."""
        if not self.began:
            return
        folder = Path(self.experiment.dir).parent
        try:
            self.experiment.finish(exit_code=int(failed))
        except TimeoutError as error:
            raise TimeoutError(
                f"the server did not take all of it within {self.finish_timeout:g} s; send the rest"
                f" with: wandb sync --include-online {folder}"
            ) from error


def identity_of(facts: RunFacts) -> dict[str, str]:
    """Return which images a run learned from, for the metadata of an artifact."""
    return {"data": facts.data, "data_fingerprint": facts.fingerprint}


def data_artifact(facts: RunFacts) -> Artifact:
    """Make the artifact that stands for the images of a run, and holds none."""
    import wandb

    data = wandb.Artifact(
        artifact_name(f"{facts.data}-{facts.fingerprint[:8]}"),
        type="dataset",
        description="Which images a run learned from; the images themselves are not here.",
        metadata=identity_of(facts),
    )
    with data.new_file("fingerprint.txt") as note:
        note.write(f"{facts.data} {facts.fingerprint}\n")
    return data


def artifact_name(text: str) -> str:
    """Return ``text`` with the letters that artifacts may have, which are few."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:LONGEST_NAME].strip("-") or "data"
