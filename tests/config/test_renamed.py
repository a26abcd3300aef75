"""Paths of before the move find the classes of today, and keys of studies stay what they were."""

from __future__ import annotations

import re

import pytest
from small import REPOSITORY

from ssl_patches.config.instantiate import locate
from ssl_patches.config.renamed import current, with_current_names, with_former_names

TREE = {
    "optimizer": {"_target_": "ssl_patches.optim.AdamW", "lr": 1},
    "parts": [{"_target_": "a.B"}],
}


def test_a_former_path_becomes_that_of_today_and_others_stay():
    assert current("ssl_patches.optim.AdamW") == "ssl_patches.training.optim.AdamW"
    assert current("ssl_patches.optimal.Thing") == "ssl_patches.optimal.Thing"


def test_every_target_of_a_tree_is_renamed_and_nothing_else():
    now = with_current_names(TREE)
    assert now["optimizer"] == {"_target_": "ssl_patches.training.optim.AdamW", "lr": 1}
    assert now["parts"] == TREE["parts"]
    assert with_former_names(now) == TREE


@pytest.mark.parametrize(
    ("former", "today"),
    [
        ("ssl_patches.optim.AdamW", "ssl_patches.training.optim.AdamW"),
        ("ssl_patches.trainer.TrainerSettings", "ssl_patches.training.settings.TrainerSettings"),
        ("ssl_patches.colour.ColourTreatment", "ssl_patches.sampler.ColourTreatment"),
        ("ssl_patches.loggers.wandb_logger", "ssl_patches.training.loggers.wandb_logger"),
    ],
)
def test_both_paths_lead_to_the_same_class(former, today):
    assert locate(former) is locate(today)


def former_modules() -> set[str]:
    """Modules that the changelog says were moved, and that are no more: ``ssl_patches.cut``."""
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = text.partition("| import before | now |")[2].partition("\n\n")[0].splitlines()[2:]
    found = set()
    for row in rows:
        first, *others = re.findall(r"`([\w.]+)`", row.split("|")[1])
        parent = first.rpartition(".")[0]
        found |= {first, *(f"{parent}{other}" for other in others if other.startswith("."))}
    place = {name: REPOSITORY.joinpath(*name.split(".")) for name in found}
    return {
        name
        for name, path in place.items()
        if not (path.is_dir() or path.with_suffix(".py").is_file())
    }


def test_no_old_path_is_left_outside_the_table_of_renames_and_the_changelog():
    former = former_modules()
    assert {"ssl_patches.cut", "ssl_patches.schema", "ssl_patches.studies.claims"} <= former
    names = "|".join(sorted(re.escape(name) for name in former))
    paths = names.replace(r"\.", r"[./]")
    pattern = re.compile(rf"\b(?:{paths})(?![\w/])")
    aside = ("CHANGELOG.md", "renamed.py", "test_renamed.py", "test_before_move.py")
    folders = ("ssl_patches", "conf", "docs", "tests", "experiments", "benchmarks")
    files = [file for name in folders for file in (REPOSITORY / name).rglob("*")]
    left = [
        f"{file.relative_to(REPOSITORY)}: {match[0]}"
        for file in [*files, *REPOSITORY.glob("*.md"), *REPOSITORY.glob("*.toml")]
        if file.suffix in (".py", ".md", ".yaml", ".toml", ".ipynb") and file.name not in aside
        if not {"fixtures", "_build"} & set(file.parts)
        for match in pattern.finditer(file.read_text(encoding="utf-8"))
    ]
    assert not left, "\n".join(left)
