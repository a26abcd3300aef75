"""Every block of code in README.md and docs/ runs, page by page, or is listed here with the reason
why it does not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import REPOSITORY
from snippets import PAGES, TINY, Block, blocks_of, commands_of, tiny, words_of

from ssl_patches.cli import main
from ssl_patches.cli.commands import COMMANDS, HELP
from ssl_patches.export import Proof, proof, write

NOT_RUN = {
    "README.md": ["minutes, and make test is what runs this"],
    "encoders.md": [
        "downloads weights, and needs a checkpoint of MAE; tests/encoders/test_pretrained.py has"
        " files of each kind"
    ],
    "sharing.md": [
        "needs an account; tests/export/test_push.py pushes to a stub of the hub",
        "needs a network; tests/export/test_push.py loads from a stub of the hub",
        "needs a network; tests/encoders/test_subject.py opens models of a stub of the hub",
        "needs a network; tests/training/test_weights.py trains from a stub of the hub",
    ],
    "studies.md": [
        "needs a cluster and an object store; tests/studies/test_ray_store.py is what runs it"
    ],
    "trackers.md": [
        "MLflow is an extra of its own, see tests/training/trackers/test_mlflow_run.py",
        "needs the run of a store",
    ],
}
"""Page -> the reasons of its blocks that are not run. A longer list is a decision, not an
accident."""
WITH_BLOCKS = [page for page in PAGES if blocks_of(page)]


def unproven(directory: Path, formats: list[str], *_: object) -> Proof:
    """A proof takes a process of its own, 6 CPU seconds; the slow tests have it."""
    return Proof(0.0, 64, True, formats=dict.fromkeys(formats, 0.0))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder that holds what the pages speak of: images (DIR, LABELLED, my_images) and two
    finished runs."""
    folder = tmp_path_factory.mktemp("world")
    draw = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 8)):
        for label in ("cats", "dogs"):
            (folder / "DIR" / split / label).mkdir(parents=True)
            for at in range(count):
                pixels = draw.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "DIR" / split / label / f"{at}.png")
    shutil.copy(
        folder / "DIR" / "train" / "cats" / "0.png", folder / "DIR" / "train" / "cats" / "copy.png"
    )
    (folder / "LABELLED").symlink_to(folder / "DIR")
    (folder / "my_images" / "by_day").mkdir(
        parents=True
    )  # as many as a step has by default, and a few
    for at in range(290):
        pixels = draw.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "my_images" / "by_day" / f"{at}.png")
    shutil.copy(folder / "my_images" / "by_day" / "0.png", folder / "my_images" / "copy.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "compare_formats", unproven)
        patch.chdir(folder)
        for name, seed in (("RUN", 0), ("OTHER_RUN", 1)):
            assert main(tiny(["pretrain", "task=jigsaw", f"seed={seed}", f"run_dir={name}"])) == 0
    return folder


@pytest.fixture
def here(world, tmp_path, monkeypatch) -> Path:
    """A copy of it for one page."""
    for place in world.iterdir():
        if place.name.startswith((".", "RUN", "OTHER")):
            shutil.copytree(place, tmp_path / place.name)
        else:
            (tmp_path / place.name).symlink_to(place)
    for name in ("experiments", "conf"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_proofs(monkeypatch) -> None:
    for module in (write, proof):
        monkeypatch.setattr(module, "compare_formats", unproven)


def run_page(blocks: list[Block], *, small: bool, costly: bool = False) -> None:
    """The blocks in their order; the names of python blocks are kept from one to the next, as in a
    notebook."""
    space: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        if block.reason is None:
            run_block(block, space, small=small, costly=costly)


def run_block(block: Block, space: dict[str, object], *, small: bool, costly: bool) -> None:
    if block.language == "python":
        exec(compile("\n" * block.line + block.code, str(block.page), "exec"), space)
        return
    if block.language == "text":
        answered(block)
        return
    for command in commands_of(block.code):
        before, words = words_of(command)
        if words[0] == "ssl-patches" and small:
            code = in_this_process(tiny(words[1:], costly=costly), before)
        else:
            code = subprocess.run(
                command, shell=True, executable="/bin/bash", env=environment()
            ).returncode
        assert code == 0, f"{block.name}: {command} ended with {code}"


def in_this_process(words: list[str], before: dict[str, str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        for folder in before.pop("PYTHONPATH", "").split(os.pathsep):
            if folder:
                patch.syspath_prepend(str(Path(folder).resolve()))
        for key, value in before.items():
            patch.setenv(key, value)
        return main(words)


def environment() -> dict[str, str]:
    """The command and the package of this environment, whatever the current folder is."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def answered(block: Block) -> None:
    """``$ COMMAND`` and below it, what is answered: a mistake, which ends with 2."""
    command, _, answer = block.code.partition("\n")
    done = subprocess.run(
        shlex.split(command)[1:], capture_output=True, text=True, env=environment()
    )
    assert (done.returncode, done.stderr) == (2, answer), block.name


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.name)
def test_every_block_of_a_page_runs_in_order(page, here, without_proofs):
    run_page(blocks_of(page), small=True)


@pytest.mark.slow
def test_the_readme_runs_with_all_its_probes_and_proofs(here):
    run_page(blocks_of(REPOSITORY / "README.md"), small=True, costly=True)


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(here):
    run_page(blocks_of(REPOSITORY / "docs" / "tutorial.md"), small=False)


def test_blocks_that_are_not_run_are_those_listed():
    found = {
        page.name: [block.reason for block in blocks_of(page) if block.reason] for page in PAGES
    }
    assert {page: reasons for page, reasons in found.items() if reasons} == NOT_RUN


def test_several_runs_are_shown_with_the_budget_that_they_need():
    """``tiny`` puts its own in place of what is shown, and would hide that there is none."""
    pages = [*PAGES, *sorted((REPOSITORY / "experiments").glob("*/README.md"))]
    shown = [page.read_text(encoding="utf-8") for page in pages] + list(HELP.values())
    found = [
        command
        for text in shown
        for command in re.findall(r"ssl-patches pretrain -m .+", text.replace("\\\n", " "))
    ]
    assert len(found) >= 6
    assert [command for command in found if "budget." not in command] == []


def test_no_block_escapes_by_its_spelling():
    """A fence is sh, python or text for us; shell and console ones would be shown and never run."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = [
            line.strip("`").split()
            for line in text.splitlines()
            if line.startswith("```") and line.strip("`")
        ]
        others = {fence[0] for fence in fences} - {"sh", "python", "text", "yaml", "toml"}
        assert {name for name in others if not name.startswith("{")} == set(), page.name
        shown = text.count("\n```sh\n") + text.count("\n```python\n")
        assert shown == sum(block.language != "text" for block in blocks_of(page)), page.name


def test_every_page_says_something_that_runs():
    assert {page.stem for page in PAGES} - {page.stem for page in WITH_BLOCKS} <= {
        "settings",
        "recipes",
        "glossary",
        "architecture",
    }


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("sh", "ssl-patches pretrain task=masked data=foldr data.root=DIR\n"),
        ("sh", "ssl-patches export model=RUN output=EXPORT format=timm\n"),
        ("sh", "false\n"),
        ("python", "import ssl_patches.nothing\n"),
        ("text", "$ ssl-patches list task\nlist task: takes one group; did you mean 'tusks'?\n"),
    ],
)
def test_a_block_that_is_wrong_is_noticed(language, code, here, without_proofs):
    page = f"# A page\n\n```{language}\n{code}```\n"
    (block,) = blocks_of(Path("page.md"), page)
    with pytest.raises((AssertionError, ImportError)):
        run_page([block], small=True)


def test_a_mark_takes_out_the_block_that_it_precedes_and_no_other():
    page = "<!-- not run: needs a GPU -->\n```sh\nfalse\n```\n\n```sh\ntrue\n```\n"
    first, second = blocks_of(Path("page.md"), page)
    assert (first.reason, second.reason) == ("needs a GPU", None)
    run_page([first, second], small=True)


def test_words_are_appended_to_commands_that_there_are():
    assert set(TINY) <= set(COMMANDS)


def lines() -> Iterator[str]:
    yield from (
        command
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "sh"
        for command in [block.code]
    )


def test_the_documentation_shows_every_command():
    shown = {
        words_of(command)[1][1]
        for code in lines()
        for command in commands_of(code)
        if "ssl-patches" in command
    }
    assert shown == set(COMMANDS)
