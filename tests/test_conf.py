"""Every YAML that is shipped is composed, checked, built and trained for one step: none is there
for show."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ssl_patches import config
from ssl_patches.config import files as conf_files
from ssl_patches.config.instantiate import build
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.encoders import create
from ssl_patches.evaluation.probes.table import check_names, probes_named
from ssl_patches.training import build as build_run
from ssl_patches.training.pretrainer import Pretrainer

CONF = conf_files.conf_dir()
CHOICES = [(group, name) for group in ("views", "optimizer") for name in conf_files.options(group)]
GROUPS = sorted(place.name for place in CONF.iterdir() if place.is_dir())
NAMES = [(group, file.stem) for group in GROUPS for file in sorted((CONF / group).glob("*.yaml"))]
SMALL_VIT = (
    "encoder.options={depth:2,embed_dim:48,num_heads:3}",
    "encoder.patch_size=8",
    "image_size=32",
)
SMALL_RESNET = ("encoder=resnet18", "image_size=64", "encoder.output_stride=8")
WIDTHS = {
    "vit_tiny_patch16_224": 192,
    "vit_small_patch16_224": 384,
    "vit_base_patch16_224": 768,
    "resnet18": 512,
    "resnet10t": 512,
    "resnet50": 2048,
    "convnext_tiny": 768,
    "convnextv2_atto": 320,
    "efficientnet_b0": 1280,
}
SMALLER = {
    "vit": {"embed_dim": 48, "num_heads": 3, "depth": 2},
    "resnet": {"layers": [1, 1, 1, 1], "channels": [16, 24, 32, 48]},
    "convnext": {"depths": [1, 1, 1, 1]},
    "efficientnet": {},
}
"""Options that make a family quicker."""


def composed(*words: str) -> dict:
    return config.request("pretrain", words, supplied=SUPPLIED, schema=PRETRAIN)


def needed(group: str, name: str) -> tuple[str, ...]:
    """The words that YAML leaves to the user: where the images are, or whose class reads them."""
    if group == "experiment":
        composed = config.compose("pretrain", [f"{group}={name}"])
        return ("data.root=images",) if "root" in composed["data"] else ()
    given = {"_target_": "ssl_patches.data.EmbeddedSource"}
    tree = conf_files.read_yaml([CONF], f"{group}/{name}")
    missing = {key for key, value in tree.items() if value == "???"} | (
        {"root"} if group == "data" and "root" in tree else set()
    )
    return tuple(f"{group}.{key}={given.get(key, 'images')}" for key in sorted(missing))


def trains(cfg: dict, count: int = 4) -> dict[str, float]:
    """One step on noise; returns the gradient's size for each parameter of encoder and task that
    got one."""
    parts = build_run.components(cfg)
    module = Pretrainer(
        encoder=parts.encoder,
        parts=parts.parts,
        views=parts.views,
        recipe=parts.recipe,
        batch_size=count,
    ).train()
    optimizer = parts.recipe.optimizer([module.encoder, module.tasks], batch_size=count)
    size = cfg["image_size"]
    loss, metrics = module.losses(torch.randint(256, (count, 3, size, size), dtype=torch.uint8))
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss), metrics
    assert all(torch.isfinite(parameter).all() for parameter in module.parameters())
    return {
        name: float(p.grad.abs().max())
        for name, p in module.named_parameters()
        if p.grad is not None
    }


@pytest.mark.parametrize(("group", "name"), NAMES)
def test_every_yaml_composes_and_passes_the_check(group, name):
    if group in conf_files.LISTED:
        assert check_names([name]) is None
        probes_named([name])
        return
    cfg = composed(f"{group}={name}", *needed(group, name))
    assert cfg["data"].get("root") in (None, "images")


@pytest.mark.parametrize("name", ["folder", "cifar10", "imagenette160"])
def test_folders_take_a_root(name):
    assert composed(f"data={name}", "data.root=my_images")["data"]["root"] == "my_images"


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_the_other_commands_compose(command):
    words = ["model=x"] + (["output=y"] if command == "export" else [])
    assert config.compose(command, words)["model"] == "x"


@pytest.mark.parametrize(
    "group",
    [
        "task",
        "sampler",
        "encoder",
        "data",
        "views",
        "optimizer",
        "trainer",
        "logger",
        "experiment",
        "probe",
    ],
)
def test_every_name_says_what_it_is(group):
    found = conf_files.with_comments(group)
    assert {name for name, _ in found} == {name for place, name in NAMES if place == group}
    assert [name for name, about in found if len(about) < 20 or not about.endswith(".")] == []


def test_no_group_is_left_out():
    named = {
        "task",
        "sampler",
        "encoder",
        "data",
        "views",
        "optimizer",
        "trainer",
        "logger",
        "callbacks",
        "experiment",
        "probe",
        "spread",
    }
    assert set(GROUPS) == named


@pytest.mark.parametrize("encoder", [SMALL_VIT, SMALL_RESNET], ids=["vit", "resnet"])
@pytest.mark.parametrize("task", conf_files.options("task"))
def test_every_task_trains_on_every_family(task, encoder):
    dense = ("sampler=tokens",) if (task, encoder) == ("relation", SMALL_RESNET) else ()
    gradients = trains(composed(f"task={task}", *encoder, *dense))
    assert any(name.startswith("encoder.") and value > 0 for name, value in gradients.items())
    assert any(name.startswith("tasks.") and value > 0 for name, value in gradients.items())


@pytest.mark.parametrize("sampler", sorted({*conf_files.options("sampler")} - {"whole"}))
@pytest.mark.parametrize("task", ["jigsaw", "position"])
def test_every_sampler_trains(sampler, task):
    words = (
        ("task.permutations=4", "image_size=24")
        if task == "jigsaw" and sampler != "tiles_3x3"
        else ()
    )
    assert trains(composed(f"task={task}", *SMALL_VIT, f"sampler={sampler}", *words))


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group in ("views", "optimizer") for name in conf_files.options(group)],
)
def test_every_view_and_optimizer_trains(group, name):
    assert trains(composed(f"{group}={name}", *SMALL_VIT))


@pytest.mark.parametrize("encoder", conf_files.options("encoder"))
def test_every_encoder_is_the_one_its_name_says_and_trains(encoder):
    cfg = composed(f"encoder={encoder}", "image_size=64")
    with torch.device("meta"):
        assert (
            create(name=cfg["encoder"]["name"], image_size=64).dim == WIDTHS[cfg["encoder"]["name"]]
        )
    small = next(options for family, options in SMALLER.items() if family in encoder)
    cfg["encoder"]["options"] = {**cfg["encoder"].get("options", {}), **small}
    assert trains(cfg, count=2)


@pytest.mark.parametrize("experiment", conf_files.options("experiment"))
def test_every_experiment_builds_all_but_its_data(experiment):
    cfg = composed(f"experiment={experiment}", *needed("experiment", experiment))
    parts = build_run.components(cfg)
    options = cfg["encoder"].get("options", {})
    width = options.get("embed_dim") or options.get("channels", [0])[-1]
    assert parts.encoder.dim == (width or WIDTHS[cfg["encoder"]["name"]])
    build(cfg["trainer"])


def test_what_a_yaml_says_is_not_the_default_already():
    """A value equal to the constructor's default is not repeated: it would go stale."""
    import yaml

    from ssl_patches.config.instantiate import locate, signature

    repeated = []
    for group, name in NAMES:
        tree = yaml.safe_load((CONF / group / f"{name}.yaml").read_text()) or {}
        if tree.get("_target_", "???") != "???":
            knobs, _ = signature(locate(tree["_target_"]))
            repeated += [
                (group, name, key)
                for key, value in tree.items()
                if key in knobs and knobs[key].default == value
            ]
    assert repeated == []


def test_the_check_of_this_file_would_see_a_task_that_does_not_train(tmp_path: Path, monkeypatch):
    (tmp_path / "idle_task.py").write_text(
        "import torch\n"
        "from ssl_patches.tasks.base import PretextTask\n"
        "from ssl_patches.types import TaskOutput\n"
        "class Idle(PretextTask):\n"
        "    def __init__(self, *, dim, grid):\n"
        "        super().__init__(dim=dim, grid=grid)\n"
        "        self.bias = torch.nn.Parameter(torch.zeros(()))\n"
        "    def forward(self, patches, encoder):\n"
        "        return TaskOutput(self.bias * float('nan'), {})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = composed("task=jigsaw", *SMALL_VIT)
    cfg["task"] = {"_target_": "idle_task.Idle"}
    with pytest.raises(AssertionError):
        trains(cfg)
