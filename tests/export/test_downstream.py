"""The examples of experiments/downstream run as they stand, without ssl_patches, and learn where
there is something to learn."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from networks import proven_in_this_process, write
from PIL import Image
from small import REPOSITORY

from ssl_patches.cli import main

EXAMPLES = REPOSITORY / "experiments" / "downstream"
RUN = """
import runpy, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not BLOCKED & set(sys.modules)
"""


def run(name: str, *words: object, without: tuple[str, ...] = ()) -> list[str]:
    """The lines that an example prints in a process where ssl_patches and ``without`` cannot be
    imported."""
    code = f"BLOCKED = {{{', '.join(map(repr, ('ssl_patches', *without)))}}}" + RUN
    command = [sys.executable, "-c", code, str(EXAMPLES / name), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Two classes that a colour tells apart, masks of what is bright, and exports."""
    folder, draw = tmp_path_factory.mktemp("downstream"), np.random.default_rng(0)
    for at in range(48):
        label, split = at % 2, "train" if at < 32 else "val"
        image = draw.integers(0, 128, (32, 32, 3), dtype=np.uint8)
        image[..., 2 * label] += 100
        y, x = draw.integers(0, 16, 2)
        image[y : y + 16, x : x + 16] = np.minimum(image[y : y + 16, x : x + 16], 155) + 100
        mask = np.zeros((32, 32), np.uint8)
        mask[y : y + 16, x : x + 16] = 1
        for place, picture in (
            (f"{split}/class{label}", image),
            ("images", image),
            ("masks", mask),
        ):
            (folder / "data" / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / "data" / place / f"{at:02}.png")
    with proven_in_this_process():
        write("resnet", folder / "resnet")
        write("vit", folder / "vit", formats=["timm", "onnx"], input="uint8")
    return folder


def test_examples_are_short_and_need_no_ssl_patches():
    found = sorted(EXAMPLES.glob("*.py"))
    assert [path.name for path in found] == [
        "finetune.py",
        "onnx_search.py",
        "segment.py",
        "sklearn_pipeline.py",
    ]
    for path in found:
        text = path.read_text()
        assert len(text.splitlines()) <= 40, path
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(text))
            for name in (
                [node.module]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in getattr(node, "names", [])]
            )
        }
        assert "ssl_patches" not in imported
        assert ("torch" in imported) == (path.name in ("finetune.py", "segment.py"))


def test_onnxruntime_finds_the_nearest_images_where_torch_cannot_be_imported(world):
    asked = world / "data" / "images" / "05.png"
    lines = run(
        "onnx_search.py",
        world / "vit",
        asked,
        world / "data" / "images",
        without=("torch", "torchvision", "timm"),
    )
    assert len(lines) == 5
    score, path = lines[0].split()
    assert (float(score), Path(path)) == (1.0, asked)


def test_scikit_learn_learns_from_the_features(world):
    words = ["data=folder", f"data.root={world / 'data'}", "data.num_workers=0", "batch_size=16"]
    assert (
        main(["embed", f"model={world / 'vit'}", *words, f"output={world / 'features.parquet'}"])
        == 0
    )
    (line,) = run(
        "sklearn_pipeline.py", world / "features.parquet", without=("torch", "torchvision", "timm")
    )
    assert float(re.fullmatch(r"accuracy (.+) % of 16", line)[1]) >= 90


@pytest.mark.slow
def test_plain_pytorch_fine_tunes_a_classifier(world):
    lines = run("finetune.py", world / "resnet", world / "data", 8)
    assert len(lines) == 8
    assert float(re.search(r"accuracy (.+) % of 16", lines[-1])[1]) >= 90


@pytest.mark.slow
def test_torchvisions_segmenter_learns_on_the_exported_resnet(world):
    losses = [
        float(line.split()[-1]) for line in run("segment.py", world / "resnet", world / "data", 30)
    ]
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
