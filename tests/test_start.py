"""A bad request is told before anything heavy is loaded, and no command loads what it does not use.

Told later, with torch loaded: a value that a constructor refuses (``trainer.ema=3``), and what is
wrong with ``export``, which tells at once what its formats need, too.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest
from small import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs"))
from architecture_page import modules as paths

LIGHT = {
    *("ssl_patches", "hydra", "omegaconf", "antlr4", "yaml", "packaging"),  # composing
    *("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"),
    "attr",  # omegaconf looks for it
}
"""What checking a request may load; not torch, Lightning, timm, torchvision, scipy, matplotlib,
transformers, nor numpy."""

MISTAKES = [
    "pretrain --dry-rn",  # a flag
    "pretrain task=jigsw",  # a name
    "pretrain task=jigsaw task.permutatoins=3 sampler.rowz=2 foo=1",  # keys
    "pretrain task=jigsaw+masked parts.masked.task.mask_ratio=x",  # a part of a mixture
    "pretrain task.permutations=abc views.scale=3 optimizer.warmup=x",  # types
    "pretrain encoder.depth=x encoder.name=3 callbacks.health.images=few data.cout=3",
    "pretrain trainer._target_=ssl_patches.trainer.TrainerSettings trainer.ema=x",  # a former path
    "pretrain data=folder",  # what is missing
    "evaluate modl=x probes=3",
    "embed modl=x",
    "doctor data.rot=x",
    "study nowhere",
    "view nowhere prot=1",
    "study nowhere workers=abc",
]

ASK = """
import contextlib, io, json, sys
from ssl_patches.cli import main
found = {}
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as told:
        code = main(words.split())
    found[words] = code, told.getvalue(), sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(found))
"""


def asked(*words: str) -> dict[str, tuple[int, str, set[str]]]:
    """Words -> exit code, what was told, packages loaded until then."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(words)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {key: (code, told, set(loaded)) for key, (code, told, loaded) in found.items()}


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[int, str, set[str]]]:
    return asked(*MISTAKES)


@pytest.mark.parametrize("words", MISTAKES)
def test_a_bad_request_is_told_and_loads_what_composing_needs(told, words):
    code, said, loaded = told[words]
    assert code == 2
    assert said
    others = loaded - set(sys.stdlib_module_names) - LIGHT
    assert not {name for name in others if not name.startswith(("_", "cython"))}


def loaded_by(*modules: str) -> set[str]:
    """Packages of others that importing modules of ours loads first: statements inside functions,
    and those for type checkers, are not run."""
    files, found, waiting = paths(), set(), list(modules)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        waiting += [name.rpartition(".")[0]] if "." in name else []  # packages on the way
        if name in seen or name not in files:
            continue
        seen.add(name)
        for node in ast.parse(files[name].read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            elif isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            else:
                continue
            waiting += [each for each in names if each in files]
            found |= {each.partition(".")[0] for each in names}
    return found - set(sys.stdlib_module_names)


HEAVY = {"lightning", "timm", "torchvision", "torchmetrics", "transformers", "scipy", "matplotlib"}


@pytest.mark.parametrize(
    ("modules", "may"),
    [
        (["cli.commands", "training.request", "evaluation.request", "studies.design"], set()),
        (["training.settings", "data.advice", "data.doctor", "studies.listing"], {"torch"}),
        (["evaluation.command", "export.command"], {"torch", "timm"}),
        (["training.run", "cli.dry_run"], {"torch", "timm", "torchvision", "lightning"}),
    ],
)
def test_no_command_loads_what_it_does_not_use(modules, may):
    """timm brings torchvision, and that sympy and torch's compiler, which the first optimiser would
    load anyway; none of these can be left out. Lightning brings torchmetrics; what that would bring
    is left out by ``training.lean_imports``."""
    loaded = loaded_by(*(f"ssl_patches.{module}" for module in modules))
    assert not loaded & (HEAVY | {"torch"}) - may
    assert may - {"torchvision"} <= loaded  # the walk sees them


def test_names_of_evaluation_that_are_imported_when_asked_for_are_all_there():
    import ssl_patches.evaluation as package

    assert all(getattr(package, name) for name in package.__all__)
    assert set(package.FILES) | set(package.FORMER) | {"PROBES"} == set(package.__all__)
    with pytest.raises(AttributeError):
        _ = package.nowhere
