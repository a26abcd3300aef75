"""What is chosen for a folder follows from its images, gives way to what was typed, and is
accepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ssl_patches.config import mixture
from ssl_patches.config.files import conf_dir
from ssl_patches.data import FolderSource
from ssl_patches.data.advice import BATCH, Choice, Facts, choose, facts_of, lines_of


def words(facts: Facts, *given: str) -> list[str]:
    typed = dict(word.partition("=")[::2] for word in ("data", "data.root", *given))
    return [choice.word for choice in choose(facts, given=typed)]


@pytest.mark.parametrize(
    ("facts", "recipe"),
    [
        (Facts(50_000, 32, 3), "small_photographs"),
        (Facts(50_000, 160, 3), "photographs_64"),
        (Facts(600, 160, 3), "few_images"),
        (Facts(600, 160, 1), "microscopy"),
        (Facts(600, 160, 4), "microscopy"),
        (Facts(600, 160, 3, deep=True), "microscopy"),
    ],
)
def test_the_recipe_follows_from_number_size_and_channels(facts: Facts, recipe: str) -> None:
    assert words(facts)[0] == f"experiment={recipe}"


@pytest.mark.parametrize("images", [1, 7, 60, 300, 5_000, 20_000])
@pytest.mark.parametrize("typed", [(), ("encoder",)])
def test_no_batch_is_larger_than_the_images(images: int, typed: tuple[str, ...]) -> None:
    found = words(Facts(images, 160, 3), *typed)
    batch = next((int(w.partition("=")[2]) for w in found if w.startswith("data.batch_size=")), 256)
    assert 1 <= batch <= max(1, images)
    assert batch & (batch - 1) == 0


@pytest.mark.parametrize("key", ["experiment", "encoder.name", "sampler.gap", "optimizer.base_lr"])
def test_who_designs_the_run_gets_no_recipe(key: str) -> None:
    assert not any(word.startswith("experiment=") for word in words(Facts(600, 160, 1), key))


@pytest.mark.parametrize("task", ["agree", "subsets"])
@pytest.mark.parametrize("facts", [Facts(600, 160, 1), Facts(50_000, 32, 3), Facts(600, 99, 3)])
def test_a_recipe_has_the_task_that_was_typed(facts: Facts, task: str) -> None:
    (name,) = [w.partition("=")[2] for w in words(facts, f"task={task}") if "experiment" in w]
    cfg = mixture.compose([f"experiment={name}", f"task={task}", "data=folder", "data.root=x"])
    assert cfg["task"]["_target_"].lower().endswith(task)
    assert words(facts, "task=jigsaw")[:1] == ["encoder=vit_tiny_6"]


def test_typed_keys_are_never_chosen() -> None:
    assert words(Facts(60, 20, 3), "encoder", "image_size", "data.batch_size") == []
    assert not any("batch" in word for word in words(Facts(60, 20, 3), "data.batch_size"))


def test_batches_are_those_of_the_recipes() -> None:
    for name, batch in BATCH.items():
        recipe = yaml.safe_load((conf_dir() / "experiment" / f"{name}.yaml").read_text())
        assert recipe["data"]["batch_size"] == batch, name


def test_headers_are_read_and_what_is_unreadable_is_passed_over(tmp_path: Path) -> None:
    assert facts_of(str(tmp_path), channels=3) is None
    for at in range(5):
        Image.fromarray(np.zeros((40, 60 + at, 3), np.uint8)).save(tmp_path / f"{at}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not an image")
    found = facts_of(str(tmp_path), channels=3)
    trained = FolderSource(root=str(tmp_path), split="train", image_size=32, max_corrupt=0.5)
    assert found is not None
    assert (found.side, found.channels) == (40, 3)
    assert len(trained) <= found.images <= len(trained) + 1, "a broken one counts, a held-out not"


def test_a_line_holds_word_and_reason() -> None:
    lines = lines_of([Choice("a=1", "for a"), Choice("bbb=22", "for b")])
    assert lines == ["  a=1     for a", "  bbb=22  for b"]
