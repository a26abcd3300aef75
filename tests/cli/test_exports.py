"""Requests about exports: a bad one is told before anything heavy is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ssl_patches.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "b"], "push a b: takes one folder; give push EXPORT hub=USER/NAME"),
        ([], "model: missing; give model=TEXT\nhub: missing; give hub=TEXT"),
        (["a", "hub=cells"], "hub=cells: must be USER/NAME of the hub"),
        (["a", "hub=me/x@v1"], "hub=me/x@v1: a push makes a commit; leave @v1 out"),
        (["a", "hub=me/x", "privat=true"], "did you mean 'private'?"),
        (["a", "hub=me/x", "private=maybe"], "private=maybe: must be true or false"),
    ],
)
def test_what_is_wrong_with_a_push_is_told_with_the_remedy(words, said, capsys):
    assert main(["push", *words]) == 2
    assert said in capsys.readouterr().err


def test_it_is_told_without_torch():
    code = "import sys\nfrom ssl_patches.cli import main\n"
    code += "sys.exit('torch' in sys.modules or main(['push', 'a', 'hub=cells']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
