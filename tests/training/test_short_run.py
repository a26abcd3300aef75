"""A short run is evaluated on a part of its images; a longer one, and what was set, as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import REPOSITORY

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.data.advice import Facts
from ssl_patches.training import request
from ssl_patches.training.short_run import USUAL, fewer_evaluated


def composed(*words: str) -> dict:
    return mixture.request(words, supplied=SUPPLIED, schema=PRETRAIN)


def chosen(*words: str, images: int = 2_000) -> list[str]:
    given = [word.partition("=")[0] for word in words]
    return [choice.word for choice in fewer_evaluated(composed(*words), images, given=given)]


def test_the_usual_numbers_are_those_of_the_configuration() -> None:
    evaluation = composed()["evaluation"]
    assert {key: evaluation[key] for key in USUAL} == USUAL


@pytest.mark.parametrize(
    ("budget", "images", "train"),
    [
        ("budget.images=3200", 2_000, 800),  # 1,000 at least
        ("budget.epochs=1", 2_000, 800),
        ("budget.epochs=1", 20_000, 4_000),
        ("budget.images=30_000", 20_000, 6_000),
    ],
)
def test_a_quarter_of_what_a_run_sees_is_read(budget: str, images: int, train: int) -> None:
    words = [f"evaluation.train_images={train}", f"evaluation.test_images={train // 4}"]
    assert chosen(budget.replace("_", ""), images=images) == words


@pytest.mark.parametrize(
    "words",
    [
        [],  # 20 epochs
        ["budget.epochs=5"],
        ["budget.images=100000"],
        ["budget.flops=1e12"],
        ["budget.images=3200", "evaluation.train_images=null"],
        ["budget.images=3200", "evaluation.test_images=300"],
        ["budget.images=3200", "evaluation.train_images=10000"],  # as usual, but typed
        ["budget.images=3200", "evaluation=none"],
    ],
)
def test_long_runs_and_numbers_that_were_set_stay(words: list[str]) -> None:
    assert chosen(*words) == []


def test_few_images_are_all_read() -> None:
    assert chosen("budget.images=3200", images=800) == []


def test_pretrain_chooses_it_and_says_so_also_when_it_is_resumed(
    small_photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = Facts(2_000, 64, 3)
    monkeypatch.setattr(request.Folder, "facts", lambda _: facts)
    words = ["data=folder", f"data.root={small_photographs}", "experiment=few_images"]
    words += ["budget.images=3200", f"run_dir={tmp_path}", "data.batch_size=8"]
    cfg, said = request.request_run(words, config_dirs=())
    assert cfg["evaluation"]["train_images"] == 800
    assert "evaluation.test_images=200" in said
    request.config.save(cfg, tmp_path / request.CONFIG)
    again, _ = request.request_run([*words, "resume=true"], config_dirs=())
    assert again["evaluation"] == cfg["evaluation"]
    typed = [*words, "evaluation.train_images=10000"]
    kept, said = request.request_run(typed, config_dirs=())
    assert kept["evaluation"]["test_images"] is None
    assert "evaluation" not in said


def test_an_experiment_that_sets_the_numbers_is_heard() -> None:
    named = (REPOSITORY / "conf/experiment/is_it_working.yaml").read_text()
    assert "train_images: 2000" in named
    assert chosen("experiment=is_it_working", "budget.images=3200", images=5_000) == []
