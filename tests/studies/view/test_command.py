"""``ssl-patches view``: an address, until it is told to end; what cannot be shown is refused."""

from __future__ import annotations

import os
import re
import shutil
import signal
from threading import Timer

import pytest
from small import REPOSITORY

from ssl_patches.cli import main


def test_it_prints_the_address_and_ends_when_told(run, capsys):
    assert main(["view", str(run), "seconds=0.05"]) == 0
    told = capsys.readouterr()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[a-z2-9]{10}/\n", told.out)
    assert "ctrl-C ends it" in told.err


@pytest.fixture
def terminal():
    """Ctrl-C as in a terminal; what a script starts in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_how_it_ends(run, terminal, capsys):
    timer = Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    assert main(["view", str(run)]) == 0
    timer.join()
    assert "view: ended" in capsys.readouterr().err


def test_a_run_without_an_encoder_shows_its_pictures_and_says_what_exports(run, capsys):
    shutil.rmtree(run / "encoder")
    assert main(["view", str(run), "seconds=0.05"]) == 0
    assert f"ssl-patches export model={run} output={run}/encoder" in capsys.readouterr().err


def test_what_cannot_be_shown_is_refused_in_one_line(run, tmp_path, capsys):
    shutil.rmtree(run / "encoder")
    shutil.rmtree(run / "figures")
    for place, told in (
        (run, "has no pictures yet, and no map"),
        (tmp_path / "nowhere", "there is no such folder"),
        (run / "summary.json", "is no run and holds none"),
        (REPOSITORY / "experiments" / "tasks_embedded", "is a study, and its runs are not in"),
    ):
        assert main(["view", str(place)]) == 2
        found = capsys.readouterr()
        assert told in found.err
        assert (found.out, found.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("word", ["host=0.0.0.0", "prot=1", "--port=1", "port=abc"])
def test_an_unknown_word_is_refused_before_anything_is_served(run, word, capsys):
    assert main(["view", str(run), word]) == 2
    assert capsys.readouterr().out == ""
