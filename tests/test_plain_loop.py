"""Sampler, encoder and task are plain modules: each trains in a loop of one's own where Hydra and
Lightning are not."""

from __future__ import annotations

import json
import subprocess
import sys

from small import REPOSITORY

FOLDER = REPOSITORY / "experiments" / "plain_loop"
PROGRAM = """
import importlib, json, sys

REFUSED = {"hydra", "omegaconf", "lightning", "pytorch_lightning", "pydantic"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in REFUSED:
            raise ImportError(f"{name} is not to be had here")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
try:
    import lightning
except ImportError:
    refused = True
import torch
from ssl_patches.data import EmbeddedSource

torch.manual_seed(0)
source = EmbeddedSource(split="train", image_size=48, count=40)
images = torch.stack([source[index][0] for index in range(40)])
labels = torch.tensor([source[index][1] for index in range(40)])
normalised = images.float().div(255).sub(0.5).div(0.25)
corners = [(y, x) for y in (0, 16, 32) for x in (0, 16, 32)]
tiles = torch.stack([normalised[..., y:y + 16, x:x + 16] for y, x in corners], 1)
import loop, sampler_alone, encoder_alone, task_alone
model, losses = loop.train(images, steps=12)
found = {
    "loop": losses,
    "sampler_alone": sampler_alone.train(images, steps=60, lr=1e-2)[-1],
    "encoder_alone": encoder_alone.train(normalised, labels, steps=8)[-1],
    "task_alone": task_alone.train(tiles, steps=60, lr=3e-3)[-1],
}
made_by = type(model).__module__.split(".")[0]
features = list(model.eval()(normalised[:2]).shape)
print(json.dumps({"refused": refused, "losses": found, "made_by": made_by, "features": features}))
"""


def test_each_class_trains_without_hydra_and_lightning():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, FOLDER], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["refused"]
    assert (found["made_by"], found["features"]) == ("timm", [2, 192])
    for name, losses in found["losses"].items():
        few = len(losses) // 4
        assert sum(losses[-few:]) < 0.97 * sum(losses[:few]), name


def test_loops_stay_as_short_as_promised():
    files = {file.name: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.py"))}
    assert set(files) == {"loop.py", "sampler_alone.py", "encoder_alone.py", "task_alone.py"}
    for name, text in files.items():
        code = [
            line
            for line in text.splitlines()
            if line.strip() and not line.lstrip().startswith(("import", "from", '"""'))
        ]
        assert len(code) <= 30, name
        assert f"`{name}`" in (FOLDER / "README.md").read_text(encoding="utf-8")
