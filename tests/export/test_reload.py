"""The process of a proof cannot import what it must not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from small import REPOSITORY

from ssl_patches.export import proof
from ssl_patches.export.reload import Later, compiler_later


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


def test_what_stands_for_a_part_of_the_compiler_is_the_part_when_something_of_it_is_used():
    assert Later("json").dumps is json.dumps
    assert not hasattr(Later("json"), "__path__")  # so `import` takes it for a plain module
    assert Later("json").disable(len) is len
    assert Later("json").disable(recursive=False)(len) is len


def test_a_compiler_that_is_loaded_stays():
    import torch._dynamo.utils

    with compiler_later():
        assert sys.modules["torch._dynamo"] is torch._dynamo
    assert torch._dynamo.utils.is_compile_supported is not None


@pytest.mark.slow  # a process of its own
def test_timm_loads_without_the_compiler_which_is_there_afterwards():
    script = proof.RELOAD.read_text().split("if __name__")[0]
    script += """
with compiler_later():
    import timm
import torch, torchvision.ops
print("torch._dynamo" in sys.modules, "sympy" in sys.modules)
asked = sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
import torch._dynamo.utils
print(asked == torch._dynamo.utils.is_compile_supported("cpu"))
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False", "True", "2.0"]
