"""The process of a proof cannot import what it must not."""

from __future__ import annotations

import subprocess
import sys

from small import REPOSITORY

from ssl_patches.export import (
    proof,
)


def blocked(form: str, module: str, *, blocker: bool = True) -> str:
    """What the isolated process makes of an import, with or without what blocks it."""
    script = reload_source = proof.RELOAD.read_text().split("if __name__")[0]
    if not blocker:
        script = script.replace("finders.insert(0, Blocker(blocked))", "pass")
        assert script != reload_source
    sites = (str(REPOSITORY), *(site for site in sys.path if "site-packages" in site))
    script += f"print(isolate(BLOCKED[{form!r}], {sites!r}), importable({module!r}))\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_ssl_patches_cannot_be_imported_there_even_when_it_lies_on_the_path():
    """Without the blocker it can: nothing else stands between."""
    assert blocked("timm", "ssl_patches") == "True False"
    assert blocked("timm", "ssl_patches", blocker=False) == "False True"


def test_onnx_is_proven_where_torch_cannot_be_imported():
    assert blocked("onnx", "torch") == "True False"
    assert blocked("onnx", "onnxruntime") == "True True"
