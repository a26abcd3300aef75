"""Names that are private to Lightning are where this package looks for them."""

from __future__ import annotations

from types import SimpleNamespace

import lightning as L
import pytest
import torch
from torch import nn

from ssl_patches.training.lightning_private import count_shards_anew, without_sigterm_broadcast


class Line(L.LightningModule):
    """y = w x, one number at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.map(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder, steps: int) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, default_root_dir=folder, **quiet
    )


@pytest.fixture
def saved(tmp_path) -> dict:
    made = trainer(tmp_path, 3)
    made.fit(Line(), torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=1))
    made.save_checkpoint(tmp_path / "last.ckpt")
    return torch.load(tmp_path / "last.ckpt", weights_only=False)


def test_breaks_when_lightning_renames_the_sigterm_broadcast(tmp_path) -> None:
    made = trainer(tmp_path, 1)
    loop = type(made.fit_loop.epoch_loop)
    assert callable(loop._broadcast_sigterm_tensor)
    assert "_broadcast_sigterm_tensor" in loop.advance.__code__.co_names, "it is still called"
    without_sigterm_broadcast(made)
    assert made.fit_loop.epoch_loop._broadcast_sigterm_tensor() is None


def test_breaks_when_lightning_renames_the_counts_in_a_checkpoint(saved) -> None:
    counts = saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert counts["current"]["ready"] == 3
    assert set(counts["current"]) == {"ready", "started", "processed", "completed"}
    count_shards_anew(saved, 6)
    assert counts["total"] == counts["current"]
    assert counts["current"] == {"ready": 6, "started": 6, "processed": 6, "completed": 5}


def test_counts_that_agree_are_left_alone() -> None:
    counts = SimpleNamespace(current={"ready": 4}, total={"ready": 4})
    checkpoint = {"loops": {"fit_loop": {"epoch_loop.batch_progress": vars(counts)}}}
    count_shards_anew(checkpoint, 4)
    assert counts.total == {"ready": 4}
