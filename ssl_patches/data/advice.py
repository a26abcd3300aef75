"""Choose how to train on a folder of images: recipe, size of views, batch; each with its reason.

``pretrain`` uses it for what was not typed, and ``doctor`` prints it as a command. A choice
follows from the number of images, their size and their channels alone, so that the same folder gets
the same run on every machine. The recipes are files of ``conf/experiment``; where they come from is
told in ``experiments/recipes``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median_low

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.headers import header
from ssl_patches.data.layout import select
from ssl_patches.data.traits import Traits, traits_of
from ssl_patches.data.walk import find_images

ENOUGH = 20_000
"""Images after which counting stops: more change no choice."""
OPENED = 24
"""Headers that are read to learn size and channels."""
SMALL_SIDE = 48
"""px; below it a recipe for views of 32 px is taken."""
FEW = 5_000
"""Images below which a small batch is taken."""
STEPS_AN_EPOCH = 4
"""Least steps in which all images should be seen once."""
OWN_DESIGN = ("experiment", "encoder", "sampler", "optimizer", "spread", "parts")
"""Whoever types one of these groups has a recipe in mind; no other is put in its place."""
COMPARING = {"agree": "aerial", "subsets": "microscopy"}
"""Tasks that compare features of one image, and the recipe of each that changes no colours."""
BATCH = {
    "small_photographs": 256,
    "photographs_64": 128,
    "few_images": 64,
    "microscopy": 128,
    "aerial": 128,
}
"""Images a step in each recipe, as its file says (tests/data/test_advice.py compares)."""
USUAL_BATCH = 256
"""Images a step where no recipe is taken, as conf/data says."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a choice follows from. ``images``: how many to train on, counted up to ``ENOUGH``;
    ``side``: median of the shorter sides in pixels; ``deep``: are most files of more than 8 bits?
    """

    images: int
    side: int
    channels: int
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting as it would be typed, and the reason for it."""

    word: str
    why: str


def facts_of(root: str, *, channels: int, split_folders: bool | None = None) -> Facts | None:
    """Look at the images below ``root``: count those to train on, read the headers of some.

    None where there are no readable ones, or where the source itself will refuse the folder.
    ``channels``: those the run takes; ``split_folders``: as ``data.split_folders``.
    """
    root = os.path.expanduser(root)
    if not os.path.isdir(root):
        return None
    try:
        found = find_images(root, most=ENOUGH).images
        train = select(found, "train", split_folders=split_folders, max_conflicts=len(found))
    except ValueError:
        return None
    paths = [os.path.join(root, file.path) for file in train.files]
    step = max(1, len(paths) // OPENED)
    seen = [(path, traits_of(path)) for path in paths[::step][:OPENED]]
    readable = [(traits, side) for path, traits in seen if (side := _shorter_side(path, channels))]
    if not readable:
        return None
    deep = sum(_is_deep(traits) for traits, _ in readable)
    side = median_low([side for _, side in readable])
    return Facts(len(paths), side, channels, deep=2 * deep > len(readable))


def choose(facts: Facts, *, given: Mapping[str, str]) -> list[Choice]:
    """Choose what was not typed. ``given``: the keys that were, such as ``data.batch_size``, and
    their values as typed.
    """
    groups = {key.partition(".")[0] for key in given}
    own = bool(groups & set(OWN_DESIGN))
    task = given.get("task")
    recipe = None
    found: list[Choice] = []
    if not own and (task in COMPARING or "task" not in groups):
        recipe = _recipe(facts, task)
        found.append(recipe)
    elif not own:
        found += WHERE
    if recipe is None and "experiment" not in groups and "image_size" not in given:
        found += _small_views(facts)
    if "experiment" not in groups and "data.batch_size" not in given:
        found += _batch(facts, recipe)
    return found


WHERE = (
    Choice("encoder=vit_tiny_6", "the network this kind of task was measured with"),
    Choice("optimizer.base_lr=2e-3", "short runs; 1.5e-4 goes with MAE's batch of 4,096"),
    Choice("optimizer.clip=1.0", "costs nothing and saves short runs"),
)
"""For tasks that ask where a tile lies or what it shows (experiments/tasks_cifar10)."""


def _recipe(facts: Facts, task: str | None) -> Choice:
    if facts.channels != 3 or facts.deep or task == "subsets":
        name = COMPARING[task or "subsets"]
        return Choice(f"experiment={name}", "no colours are changed: grey, deep or many channels")
    if facts.side < SMALL_SIDE:
        return Choice(
            "experiment=small_photographs", f"small images ({facts.side} px): views of 32 px"
        )
    if facts.images < FEW:
        return Choice(
            "experiment=few_images",
            f"{facts.images:,} images: a small batch, so that a short run still takes many steps",
        )
    return Choice(
        "experiment=photographs_64",
        f"{_counted(facts.images)} images of {facts.side} px: two crops agree, views of 64 px",
    )


def _small_views(facts: Facts) -> list[Choice]:
    if facts.side >= SMALL_SIDE:
        return []
    return [Choice("image_size=32", f"the images have {facts.side} px; larger views are enlarged")]


def _batch(facts: Facts, recipe: Choice | None) -> list[Choice]:
    usual = BATCH[recipe.word.partition("=")[2]] if recipe else USUAL_BATCH
    fitting = 1 << max(0, (facts.images // STEPS_AN_EPOCH).bit_length() - 1)
    if fitting >= usual:
        return []
    return [
        Choice(
            f"data.batch_size={fitting}",
            f"{facts.images:,} images to train on: at least {STEPS_AN_EPOCH} steps an epoch",
        )
    ]


def lines_of(choices: Iterable[Choice]) -> list[str]:
    """Lay choices out for a person: a line each, the word and its reason."""
    choices = list(choices)
    width = max((len(choice.word) for choice in choices), default=0)
    return [f"  {choice.word:{width}}  {choice.why}" for choice in choices]


def _counted(images: int) -> str:
    return f"{images:,}" if images < ENOUGH else f"{ENOUGH:,} or more"


def _shorter_side(path: str, channels: int) -> int:
    """Return pixels of the shorter side; 0 where the header cannot be read."""
    try:
        return min(header(path, channels=channels))
    except (UnreadableImage, ImportError):
        return 0


def _is_deep(traits: Traits) -> bool:
    return traits.mode == "array" or traits.mode.startswith("I") or traits.mode == "F"
