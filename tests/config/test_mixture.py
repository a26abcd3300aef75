"""A mixture is several tasks on one encoder: composed part by part, trained on the weighted sum."""

from __future__ import annotations

import json

import pytest
import torch
from small import SMALL, SMALL_DATA, SMALL_VIT

from ssl_patches.cli import main
from ssl_patches.config import mixture
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training import build as build_run
from ssl_patches.training.pretrainer import Pretrainer

WORDS = (
    *SMALL_VIT,
    *SMALL_DATA,
    "task=jigsaw+masked",
    "parts.masked.weight=0.25",
    "parts.jigsaw.task.hidden=64",
)


def asked(*words: str) -> dict:
    return mixture.request(words, supplied=SUPPLIED, schema=PRETRAIN)


@pytest.fixture
def module() -> Pretrainer:
    parts = build_run.components(asked(*WORDS))
    return Pretrainer(
        encoder=parts.encoder,
        parts=parts.parts,
        views=parts.views,
        recipe=parts.recipe,
        batch_size=8,
        steps=1,
    ).train()


def test_each_part_has_its_own_sampler_knobs_and_weight(module):
    assert module.name == "jigsaw+masked"
    assert module.weights == {"jigsaw": 1.0, "masked": 0.25}
    assert module.samplers["jigsaw"].grid.cells == 9
    assert module.samplers["masked"].grid.dense
    assert module.tasks["jigsaw"].head[0].out_features == 64


def test_the_gradient_is_the_weighted_sum(module):
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    weights = [p for p in module.encoder.model.parameters() if p.requires_grad]
    torch.manual_seed(1)
    loss, metrics = module.losses(images)
    mixed = torch.autograd.grad(loss, weights)
    torch.manual_seed(1)
    views, alone = module.views(images), {}
    for name, task in module.tasks.items():
        alone[name] = torch.autograd.grad(
            task(module.samplers[name](views), module.encoder).loss, weights
        )
    for both, jigsaw, masked in zip(mixed, *alone.values(), strict=True):
        torch.testing.assert_close(both, jigsaw + 0.25 * masked, rtol=1e-4, atol=1e-7)
    assert any(
        (both - jigsaw - masked).abs().max() > 1e-4
        for both, jigsaw, masked in zip(mixed, *alone.values(), strict=True)
    )
    assert {"loss", "jigsaw/accuracy", "masked/reconstruction"} <= metrics.keys()


def test_one_task_is_one_part_as_before():
    cfg = asked(*SMALL_VIT, *SMALL_DATA, "task=masked")
    assert list(mixture.nodes(cfg)) == ["masked"]
    assert "parts" not in cfg


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=jigsaw+maskd"], "did you mean 'masked'?"),
        (["task=jigsaw+jigsaw"], "must name different tasks"),
        (["task=jigsaw+masked", "task.hidden=3"], "of which part? give parts.jigsaw.task.hidden=3"),
        (["task=jigsaw+masked", "sampler=tokens"], "of which part?"),
        (["task=jigsaw+masked", "parts.maskd.weight=1"], "did you mean 'parts.masked'?"),
        (["task=jigsaw+masked", "parts.masked.weight=-1"], "must be a number above 0"),
        (["task=jigsaw+masked", "parts.masked.wight=1"], "a part has task, sampler and weight"),
        (
            ["task=jigsaw+masked", "parts.masked.task.mask_ratoi=0.5"],
            "did you mean 'parts.masked.task.mask_ratio'?",
        ),
        (["task=jigsaw", "parts.jigsaw.weight=1"], "there are parts in a mixture only"),
    ],
)
def test_a_mistake_is_told_in_the_words_of_the_mixture(words: list[str], said: str):
    with pytest.raises(BadRequest) as error:
        asked(*words)
    assert said in str(error.value)


def test_a_mixture_runs_to_an_encoder_in_use_and_resumes(tmp_path, capsys, proven_here, request):
    words = [
        *SMALL,
        "task=jigsaw+masked",
        "parts.masked.weight=0.25",
        f"run_dir={tmp_path / 'run'}",
    ]
    assert main(["pretrain", *words]) == 0
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} >= {
        "jigsaw.png",
        "masked.png",
    }
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["task"] == "jigsaw+masked"
    assert summary["budget_used"]["tiles"] == 64 * (9 + 16)
    request.getfixturevalue("quick_end")
    assert main(["pretrain", *words, "resume=true", "budget.images=96"]) == 0
    assert main(["pretrain", *words, "resume=true", "parts.masked.weight=0.5"]) == 2
    assert "parts.masked.weight was 0.25" in capsys.readouterr().err
