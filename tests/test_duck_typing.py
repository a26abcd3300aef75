"""Asking an object whether it has an attribute is for what other people made; the files are below.

Objects of our own have types with defaults: a misspelt name is then an error and not a silent no.
"""

from __future__ import annotations

import ast

from small import REPOSITORY

PACKAGE = REPOSITORY / "ssl_patches"
TIMM = "models of timm share no class that says what they can: families differ by attributes"
DATASETS = "a Dataset of the user's is any object with a length and items"
PLATFORM = "what the operating system offers differs"
REASONS = {
    "__init__.py": "functions of the package are imported when they are asked for",
    "config/definitions.py": "is it a name that Python itself has?",
    "config/hydra_refusals.py": "Hydra is imported late, and its errors carry what they know",
    "config/instantiate.py": "a dotted path names anything that can be imported",
    "config/machine.py": PLATFORM,
    "config/read_source.py": "a name of a module that is imported",
    "data/build.py": DATASETS,
    "data/huggingface.py": "columns of a table are of many classes, and only some have names",
    "data/items.py": DATASETS,
    "data/module.py": DATASETS,
    "data/wrapped.py": "a wrapper hands on what the source has that it wraps, of whatever class",
    "data/torchvision.py": "the data set is named by the user",
    "data/traits.py": "images of some formats only have frames in Pillow",
    "evaluation/__init__.py": "names are imported when they are asked for",
    "evaluation/attention.py": TIMM,
    "evaluation/features/parts.py": TIMM,
    "evaluation/probes/finetune.py": TIMM,
    "evaluation/probes/segmentation.py": TIMM,
    "export/exportable.py": TIMM,
    "config/malloc.py": PLATFORM,
    "studies/mirror.py": "a filter of tarfile that the first Pythons allowed lack",
    "studies/mirrored.py": PLATFORM,
    "training/busy.py": PLATFORM,
    "training/onednn.py": "a private operation of torch, which may be gone",
    "config/native_bf16.py": "not in the oldest torch that is allowed",
    "export/reload.py": "a stand-in for a module of torch hands on what it has",
}
"""File -> why it asks. One that no longer does is taken out; a new one needs a reason."""


def asking() -> set[str]:
    """Files of the package with ``getattr`` or ``hasattr``."""
    return {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if any(
            isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "hasattr"}
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        )
    }


def test_only_what_others_made_is_asked_for_its_attributes():
    assert asking() == set(REASONS)
