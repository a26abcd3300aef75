"""One tiny run for all tests that need a finished one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from small import SMALL

from ssl_patches.cli import main
from ssl_patches.config.malloc import keep_freed_memory


@pytest.fixture(scope="session", autouse=True)
def freed_memory_is_kept():
    """As in a run, from the first test on: a twentieth less time in tests that compute."""
    keep_freed_memory()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tests of this size are slower with more, and what they start as a process must compute the
    same bits."""
    before, os.environ["OMP_NUM_THREADS"] = torch.get_num_threads(), "1"
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """``made_once(NAME, make)`` calls ``make(FOLDER)`` in one of the processes that test, and
    returns FOLDER in all."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], None]) -> Path:
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / f"{name}.made").exists():
                make(shared / name)
                (shared / f"{name}.made").touch()
        return shared / name

    return made


@pytest.fixture(scope="session")
def finished_run(made_once) -> Path:
    """A run of ``pretrain`` with SMALL: never write into it, see ``run_copy``."""

    def make(run_dir: Path) -> None:
        assert main(["pretrain", *SMALL, f"run_dir={run_dir}"]) == 0

    return made_once("finished", make)


@pytest.fixture(scope="session")
def trained_run(made_once) -> Path:
    """A run of SMALL up to its end, with a checkpoint of each step: never write into it."""
    words = ("trainer.log_every=1", "trainer.checkpoint_steps=1", "trainer.checkpoints_kept=9")

    def make(run_dir: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            make_end_quick(patch)
            assert main(["pretrain", *SMALL, *words, "callbacks=none", f"run_dir={run_dir}"]) == 0

    return made_once("trained", make)


@pytest.fixture(scope="session")
def small_photographs(tmp_path_factory) -> Path:
    """A folder of forty small images of one colour each; never write into it."""
    root = tmp_path_factory.mktemp("images")
    for at in range(40):
        Image.new("RGB", (80, 70), (at, at, at)).save(root / f"{at}.png")
    return root


@pytest.fixture
def run_copy(finished_run, tmp_path) -> Path:
    """The finished run, to be damaged."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.fixture
def proven_here():
    """Exports are proven in this process: for tests of something else than the export's proof."""
    from networks import proven_in_this_process

    with proven_in_this_process():
        yield


@pytest.fixture
def quick_end(monkeypatch) -> None:
    """Runs in this process end without figures, export and probes."""
    make_end_quick(monkeypatch)


def make_end_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl_patches.export import Proof
    from ssl_patches.training import finish

    monkeypatch.setattr(finish, "draw_task", lambda *_, **__: None)
    monkeypatch.setattr(finish, "export_encoder", lambda *_, **__: Proof(0.0, 64, True))
    monkeypatch.setattr(finish, "evaluate_run", lambda *_, **__: [])


@pytest.fixture
def tiny_study(tmp_path) -> Callable[..., Path]:
    """``tiny_study(axes=..., budget=...)`` writes the study.yaml of tiny runs and returns its
    folder."""
    import yaml

    def write(**keys: object) -> Path:
        folder = tmp_path / "tiny"
        folder.mkdir(exist_ok=True)
        base = [*(word for word in SMALL if not word.startswith("budget.")), "callbacks=none"]
        content = {
            "base": base,
            "axes": {"task": ["jigsaw"], "seed": [0, 1]},
            "budget": {"images": 64},
            **keys,
        }
        given = {key: value for key, value in content.items() if value is not None}
        (folder / "study.yaml").write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def only_training(quick_end) -> Callable[..., Path]:
    """``pretrain(WORDS)`` in this process up to the last checkpoint: no figures, no export, no
    probes."""

    def pretrain(run_dir: Path, *words: str, code: int = 0) -> Path:
        given = {word.partition("=")[0] for word in words}
        small = [word for word in SMALL if word.partition("=")[0] not in given]
        watched = any(word.lstrip("~").startswith("callbacks") for word in words)
        small += [] if watched else ["callbacks=none"]  # pictures take longer than four steps do
        assert (
            main(["pretrain", *small, "trainer.log_every=1", *words, f"run_dir={run_dir}"]) == code
        )
        return run_dir

    return pretrain
