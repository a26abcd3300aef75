"""What can be refused is refused before anything is written; the cost of a step is counted."""

from __future__ import annotations

import pytest
import torch
from small import SMALL

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training.prepare import prepare, resolve_run_dir


def asked(*words: str) -> dict:
    given = {word.partition("=")[0] for word in words}
    given |= {"data.count"} if "data" in given else set()  # a key of the images drawn here
    small = [word for word in SMALL if word.partition("=")[0] not in given]
    return mixture.request([*small, *words], supplied=SUPPLIED, schema=PRETRAIN)


def test_a_run_is_prepared_without_a_trace(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    run = prepare(asked("budget.images=40"))
    assert run.module.steps == 3, "40 images in steps of 16"
    assert run.flops > 0
    assert torch.get_rng_state().equal(before)
    run_dir, checkpoint = resolve_run_dir(asked("run_dir=there"), run)
    assert (run_dir.name, checkpoint) == ("there", None)
    assert not list(tmp_path.iterdir())


def test_seconds_and_several_processes_do_not_go_together() -> None:
    words = ("budget.images=null", "budget.seconds=3", "trainer.devices=2", "trainer.device=cpu")
    with pytest.raises(ValueError, match=r"budget.seconds=3: the clocks of 2 processes differ"):
        prepare(asked(*words))


def test_the_products_of_muon_are_counted() -> None:
    plain, muon = (prepare(asked(f"optimizer={name}")).flops for name in ("adamw", "muon"))
    assert muon > plain
