"""How a run is executed: precision by the hardware, refusals by key, compiled steps."""

from __future__ import annotations

import pytest
import torch
from runs import largest_difference, rows
from small import SMALL

from ssl_patches import config
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training.prepare import prepare
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.settings import TrainerSettings, compile_in_place


def test_precision_auto_is_what_the_hardware_has_and_says_why(
    only_training, tmp_path, monkeypatch, capsys
):
    for found, wanted, why in (
        (
            {"avx512_bf16": True},
            "bf16",
            "precision bf16 (auto: this CPU has AVX512-BF16; trainer.precision=fp32 turns it off)",
        ),
        (
            {"avx2": True},
            "fp32",
            (
                "precision fp32 (auto: this CPU has no bf16 arithmetic of its own, which would be"
                " slower)"
            ),
        ),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        run_dir = only_training(
            tmp_path / wanted, "trainer.precision=auto", "trainer.device=cpu", "budget.images=16"
        )
        assert why in capsys.readouterr().err
        assert config.load(run_dir / "config.yaml")["trainer"]["precision"] == wanted
    assert rows(tmp_path / "bf16")[0]["loss"] != rows(tmp_path / "fp32")[0]["loss"]


def test_settings_out_of_range_are_refused_by_their_key():
    for knobs, told in (
        ({"accumulate": 0}, r"trainer.accumulate=0: must be 1 or more; set trainer.accumulate=1"),
        ({"devices": 0}, r"trainer.devices=0"),
        ({"ema": 1.0}, r"trainer.ema=1.0: a decay"),
        ({"checkpoint_minutes": float("nan")}, r"trainer.checkpoint_minutes=nan"),
        ({"strategy": "fsdp"}, r"trainer.strategy=fsdp: divides.*trainer.devices=2"),
        (
            {"strategy": "fsdp", "devices": 2, "ema": 0.9, "device": "cpu"},
            r"trainer.ema=0.9: are not supported together",
        ),
    ):
        with pytest.raises(ValueError, match=told):
            TrainerSettings(**knobs)


def small(*words: str) -> Pretrainer:
    given = {word.partition("=")[0] for word in words}
    kept = [word for word in SMALL if word.partition("=")[0] not in given]
    return prepare(
        config.request("pretrain", [*kept, *words], supplied=SUPPLIED, schema=PRETRAIN)
    ).module


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked", "jigsaw"])
def test_a_compiled_step_gives_the_loss_and_the_gradients_of_the_plain_one(task):
    import torch._inductor.config as inductor

    found, names = [], []
    for compiled in (False, True):
        module = small(f"task={task}", "trainer.compile=true")
        if compiled:
            compile_in_place(module.tasks.values())
        names.append(list(module.state_dict()))
        torch.manual_seed(0)
        with inductor.patch(fallback_random=True):  # the same draws
            loss, _ = module.train().losses(torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8))
            loss.backward()
        found.append(
            {
                "loss": loss.detach(),
                **{name: p.grad for name, p in module.named_parameters() if p.grad is not None},
            }
        )
    assert names[0] == names[1]
    felt = {
        key for key, value in found[0].items() if value.abs().max() > 1e-6
    }  # a BatchNorm takes out what shifts all
    assert len(felt) > len(found[0]) - 3
    assert largest_difference(*({key: side[key] for key in felt} for side in found[::-1])) < 1e-4
    assert all(found[1][key].abs().max() < 1e-6 for key in found[0].keys() - felt)
