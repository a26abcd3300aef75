"""Run the tests on each mutant of a session of cosmic-ray: ``python execute.py TOML SESSION``.

``cosmic-ray exec`` starts Python for each mutant, and most of the time goes into importing torch.
Here libraries are imported once, and each mutant is tested in a process forked from this one, which
has imported nothing of the package that is changed. Which libraries: those that the tests import
when they are run on the code as it is, which has to pass.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import signal
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import pytest
from cosmic_ray.mutating import apply_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.util import restore_contents
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

OURS = ("ssl_patches", "tests", "conftest", "__main__", "test_")


def main(toml: str, session: str) -> None:
    """Test all mutants that have no result yet; print how many were caught."""
    settings = tomllib.loads(Path(toml).read_text(encoding="utf-8"))["cosmic-ray"]
    words = shlex.split(settings["test-command"])
    words = words[words.index("pytest") + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder) / "names"
        if _tested(words, settings["timeout"], names):
            sys.exit(f"{toml}: its tests fail on the code as it is")
        for name in names.read_text().split():
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        if _tested(words, settings["timeout"], names):
            sys.exit(f"{toml}: its tests fail in a fork of a process with libraries")
    with use_db(session, WorkDB.Mode.open) as db:
        for item in list(db.pending_work_items):
            db.set_result(item.job_id, _result(item.mutations[0], words, settings["timeout"]))
        found = [result.test_outcome for _, result in db.results]
    print(f"{session}: {len(found) - found.count(TestOutcome.SURVIVED)} of {len(found)} caught")


def _result(mutation: MutationSpec, words: list[str], timeout: float) -> WorkResult:
    """Change the module, run the tests, change it back."""
    path = mutation.module_path
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with restore_contents(path):
        before, after = apply_mutation(path, operator, mutation.occurrence)
        if after is None:
            return WorkResult(worker_outcome=WorkerOutcome.NO_TEST)
        # bytecode is believed for a file of the same size and second
        for kept in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            kept.unlink()
        failed = _tested(words, timeout)
    lines = zip(before.splitlines(), after.splitlines(), strict=False)
    changed = [f"-{one}\n+{two}" for one, two in lines if one != two]
    outcome = TestOutcome.KILLED if failed else TestOutcome.SURVIVED
    diff = "\n".join([f"--- mutation diff --- {path}:{mutation.start_pos[0]}", *changed])
    return WorkResult(WorkerOutcome.NORMAL, "", outcome, diff)


def _tested(words: list[str], timeout: float, names: Path | None = None) -> int:
    """Run pytest in a fork of this process; return 0 where all passed in time."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        status = 1
        try:
            sys.path.insert(0, os.getcwd())
            status = int(pytest.main([*words, "-p", "no:cacheprovider"]))
            if names is not None:
                names.write_text("\n".join(n for n in sys.modules if not n.startswith(OURS)))
        finally:
            os._exit(status)
    ends = time.monotonic() + timeout
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _kill_group(child)
            return status
        time.sleep(0.02)
    _kill_group(child)
    os.waitpid(child, 0)
    return 1


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
