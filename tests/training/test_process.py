"""What holds for the whole process is set where a command starts, and only there."""

from __future__ import annotations

import ast
import os
import warnings

from small import REPOSITORY

from ssl_patches.training import process

GLOBAL = {
    "warnings.filterwarnings": {"training/process.py"},
    "setLevel": {"training/process.py"},
    "libc.mallopt": {"config/malloc.py"},
}


def test_no_other_file_changes_the_process() -> None:
    found: dict[str, set[str]] = {call: set() for call in GLOBAL}
    for file in (REPOSITORY / "ssl_patches").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                for name in found:
                    if called == name or called.endswith(f".{name}"):
                        found[name].add(str(file.relative_to(REPOSITORY / "ssl_patches")))
    assert found == GLOBAL


def test_idle_threads_sleep_unless_the_user_says_otherwise(monkeypatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    process.before_torch()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    process.before_torch()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_hints_of_lightning_are_not_shown_and_other_warnings_are() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.resetwarnings()
        warnings.simplefilter("always")
        process.before_training()
        warnings.warn("The 'train_dataloader' does not have many workers", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert [str(each.message) for each in shown] == ["something else"]
