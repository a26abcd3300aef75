"""A process is known by its machine, its number and its start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_patches.config import owners


def test_a_machine_without_linuxs_files_is_known_by_its_name(monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError("/proc")

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(owners.socket, "gethostname", lambda: "here")
    assert owners.machine_name.__wrapped__() == "here"
    monkeypatch.undo()
    assert owners.machine_name() == owners.machine_name.__wrapped__() != ""


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps is what is asked where /proc is not")
@pytest.mark.parametrize("platform", ["darwin", "sunos5"])
def test_elsewhere_the_system_is_asked_when_a_process_began(platform, monkeypatch):
    ticks = owners.start_of(os.getpid())
    monkeypatch.setattr(owners.sys, "platform", platform)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert owners.start_of(process.pid) is None
    said = owners.start_of(os.getpid())
    assert said == owners.start_of(os.getpid()) not in (None, ticks)


def test_a_process_that_is_no_more_has_no_start():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert owners.start_of(process.pid) is None
    mine = owners.start_of(os.getpid())
    assert mine is not None
    assert mine.isdigit()
