"""A reader that goes away ends nothing: what is printed afterwards goes nowhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from ssl_patches.cli.streams import outlive_readers
outlive_readers()
outlive_readers()  # a command in a command
for at in range(3000):
    print("a line that fills the pipe's buffer and more", file=sys.{stream}, flush={flush})
    if not at:
        sys.{stream}.flush()
sys.{stream}.flush()
open(sys.argv[1], "w").write("done")
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("flush", [True, False])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_work_is_done_without_a_reader(tmp_path, stream, flush, unbuffered):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(stream=stream, flush=flush), tmp_path / "end"],
        **{stream: subprocess.PIPE},
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    pipe = getattr(process, stream)
    assert pipe.readline().startswith(b"a line")
    pipe.close()
    assert process.wait(60) == 0
    assert (tmp_path / "end").read_text() == "done"


def test_what_is_read_is_whole_and_in_order():
    program = PROGRAM.replace("open(sys.argv", "#").format(stream="stdout", flush=False)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert answer.stdout.count(b"and more" + os.linesep.encode()) == 3000


def test_streams_of_somebody_else_stay(capsys):
    from ssl_patches.cli.streams import outlive_readers

    before = sys.stdout, sys.stderr
    outlive_readers()
    assert (sys.stdout, sys.stderr) == before
