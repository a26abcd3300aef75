"""A ``.pt2`` archive is opened only where nothing in it can run."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.export import Dim

from ssl_patches.encoders.exported import ExportMismatch
from ssl_patches.export.pt2 import check_archive

MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A small network of any size of image, as torch writes it."""
    path = tmp_path_factory.mktemp("graph") / "encoder.pt2"
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))
    axes = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    program = torch.export.export(net.eval(), (torch.zeros(2, 3, 8, 10),), dynamic_shapes=(axes,))
    torch.export.save(program, path, extra_files={"ssl_patches.json": "{}"})
    return path


def changed(path: Path, to: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of an archive with one file changed or added (``change`` of nothing)."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        below = old.namelist()[0].partition("/")[0]
        names = [*old.namelist(), f"{below}/{name}"]
        for each in dict.fromkeys(names):
            content = old.read(each) if each in old.namelist() else b""
            new.writestr(each, change(content) if each == f"{below}/{name}" else content)
    return to


class Bomb:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_what_torch_writes_passes(written):
    check_archive(written)


def test_what_ssl_patches_wrote_before_passes():
    for path in Path(__file__).parents[1].glob("fixtures/**/encoder.pt2"):
        check_archive(path)


def first_target(content: bytes, target: str) -> bytes:
    tree = json.loads(content)
    tree["graph_module"]["graph"]["nodes"][0]["target"] = target
    return json.dumps(tree).encode()


def every_formula(content: bytes, formula: str) -> bytes:
    return json.dumps(
        json.loads(
            content,
            object_hook=lambda each: each | {"expr_str": formula} if "expr_str" in each else each,
        )
    ).encode()


def pickled_weight(content: bytes) -> bytes:
    tree = json.loads(content)
    next(iter(tree["config"].values()))["use_pickle"] = True
    return json.dumps(tree).encode()


def bomb(content: bytes) -> bytes:
    return pickle.dumps(Bomb("exit 3"))


def saved_bomb(content: bytes) -> bytes:
    out = io.BytesIO()
    torch.save(Bomb("exit 3"), out)
    return out.getvalue()


ATTACKS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "another function of torch": (MODEL, lambda old: first_target(old, "torch.hub.load")),
    "an operation that makes files": (
        MODEL,
        lambda old: first_target(old, "torch.ops.aten.from_file.default"),
    ),
    "an operation of elsewhere": (
        MODEL,
        lambda old: first_target(old, "torch.ops.mine.run.default"),
    ),
    "a python operator that calls": (MODEL, lambda old: first_target(old, "_operator.call")),
    "a formula that imports": (
        MODEL,
        lambda old: every_formula(old, "__import__('os').system('exit 3')"),
    ),
    "a formula that reaches out": (MODEL, lambda old: every_formula(old, "Symbol('s1').func")),
    "a formula that evaluates": (MODEL, lambda old: every_formula(old, "S('s1')")),
    "a formula in a string": (MODEL, lambda old: every_formula(old, "Integer('exit(3)')")),
    "pickled weights": (WEIGHTS, pickled_weight),
    "pickled inputs": ("data/sample_inputs/model.pt", saved_bomb),
    "a bare pickle": ("data/sample_inputs/model.pt", bomb),
    "older pickles": ("data/weights/model.pt", bomb),
    "the older layout": ("serialized_example_inputs.pt", bomb),
    "a compiled library": ("data/aotinductor/model/a.so", lambda old: b"\x7fELF"),
    "deep nesting": (MODEL, lambda old: b"[" * 200_000),
    "no JSON": (MODEL, lambda old: b"\xff"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_could_run_code_is_refused_unopened(name, written, tmp_path):
    path = changed(written, tmp_path / "encoder.pt2", *ATTACKS[name])
    with pytest.raises(ExportMismatch, match="is not opened"):
        check_archive(path)


def test_damage_and_pipes_are_refused(written, tmp_path):
    half = tmp_path / "half.pt2"
    half.write_bytes(written.read_bytes()[:2000])
    os.mkfifo(tmp_path / "pipe.pt2")
    twice = shutil.copy(written, tmp_path / "twice.pt2")
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[0], b"another")
    for path in (half, tmp_path / "pipe.pt2", Path(twice)):
        with pytest.raises(ExportMismatch, match="is not opened"):
            check_archive(path)
