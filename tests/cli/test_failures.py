"""Failures of the machine end in one line with a remedy; everything else stays a traceback."""

from __future__ import annotations

import errno
import os
import sys

import pytest
from torch._utils import ExceptionWrapper

from ssl_patches.cli import commands, main
from ssl_patches.cli.failures import REMEDIES, of_the_machine, own_words


@pytest.mark.parametrize("number", REMEDIES)
def test_what_the_system_refuses_is_told_with_its_place(number):
    told = of_the_machine(OSError(number, os.strerror(number), "/data/a.png"))
    assert told is not None
    assert told.startswith("/data/a.png: ")
    assert told.endswith(REMEDIES[number])


@pytest.mark.parametrize(
    "text",
    [
        "DataLoader worker (pid(s) 77) exited unexpectedly",
        "DataLoader worker (pid 77) is killed by signal: Killed.",
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's"
        " workers are out of shared memory.",
        "unable to write to file </torch_12>: No space left on device (28) in /dev/shm",
    ],
)
def test_a_worker_that_ended_is_answered_with_the_key_that_does_without(text):
    assert "set data.num_workers=0" in str(of_the_machine(RuntimeError(text)))


def test_bugs_stay_tracebacks(monkeypatch):
    assert of_the_machine(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert of_the_machine(OSError(errno.EINVAL, "Invalid argument")) is None

    def bug(_):
        raise RuntimeError("a bug")

    monkeypatch.setitem(commands.COMMANDS, "runs", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["runs"])


def test_what_a_traceback_says_is_escaped_in_a_program_of_ours_alone(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    assert main(["--version"]) == 0
    assert sys.excepthook is sys.__excepthook__
    monkeypatch.setattr(sys, "argv", ["ssl-patches", "--version"])
    assert main() == 0
    assert sys.excepthook is not sys.__excepthook__


def test_an_error_of_a_worker_is_told_in_its_own_words(monkeypatch, capsys):
    def too_many(_):
        try:
            raise ValueError("data.max_corrupt=0.01: 9 of 20 cannot be read; remove them")
        except ValueError:
            ExceptionWrapper(where="in DataLoader worker process 0").reraise()

    monkeypatch.setitem(commands.COMMANDS, "runs", too_many)
    assert main(["runs"]) == 2
    said = capsys.readouterr().err
    assert said == "data.max_corrupt=0.01: 9 of 20 cannot be read; remove them\n"
    assert own_words(ValueError("plain")) == "plain"


def test_a_full_disk_ends_a_command_with_one_line(monkeypatch, capsys):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device", "out/a.parquet")

    monkeypatch.setitem(commands.COMMANDS, "runs", full)
    assert main(["runs"]) == 1
    assert capsys.readouterr().err == (
        "runs: out/a.parquet: No space left on device; make room, or name another place\n"
    )
