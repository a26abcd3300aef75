"""Online probes: what they refuse and what they skip; their accuracies are in test_health."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ssl_patches.training.callbacks.probes import QUERY_EVERY, OnlineProbes, probe_accuracies


def test_settings_out_of_range_are_refused_by_their_key() -> None:
    with pytest.raises(ValueError, match=r"callbacks.probes.epochs=0: must be above 0"):
        OnlineProbes(epochs=0)
    with pytest.raises(ValueError, match=r"callbacks.probes.images=9: at least 10"):
        OnlineProbes(images=9)


def test_images_without_classes_are_not_probed(tmp_path, capsys) -> None:
    class Train:
        labels = torch.full((8,), -1)

        def __len__(self) -> int:
            return 8

    trainer = SimpleNamespace(
        global_step=0, default_root_dir=tmp_path, datamodule=SimpleNamespace(train=Train())
    )
    probes = OnlineProbes(epochs=0.5)
    probes.on_train_start(trainer, SimpleNamespace(batch_size=4))
    assert "nothing to probe" in capsys.readouterr().err
    probes.on_step_end(trainer, None)
    assert not list(tmp_path.iterdir())


def test_classes_that_lie_apart_are_found_and_chance_is_the_largest_class() -> None:
    labels = torch.arange(60) % 3
    features = torch.eye(3)[labels] + 0.01 * torch.randn(
        60, 3, generator=torch.Generator().manual_seed(0)
    )
    found = probe_accuracies(features, labels)
    assert found["linear_top1"] == 100
    assert next(value for key, value in found.items() if key.startswith("knn")) == 100
    queries = labels[::QUERY_EVERY]
    assert found["largest_class"] == pytest.approx(100 * queries.bincount().max() / len(queries))
