"""What a study asks for becomes runs with keys; everything that cannot be meant is refused before
anything is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from small import REPOSITORY, SMALL

from ssl_patches.data import build as build_data
from ssl_patches.studies import design, jobs, planning


def planned(folder: Path, *words: str) -> jobs.Plan:
    return planning.plan(design.read_study(folder, words), folder / "out")


def refusals(folder: Path, *words: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        planned(folder, *words)
    assert not (folder / "out").exists()
    return str(caught.value).replace(f"{folder}/study.yaml: ", "")


def test_axes_multiply_and_names_can_be_read(tiny_study):
    plan = planned(
        tiny_study(
            axes={
                "task": ["jigsaw", "masked+position"],
                "seed": [0, 1],
                "optimizer.base_lr": [1e-3],
            }
        )
    )
    assert [run.name for run in plan.runs] == [
        "jigsaw-seed0-base_lr0.001",
        "jigsaw-seed1-base_lr0.001",
        "masked+position-seed0-base_lr0.001",
        "masked+position-seed1-base_lr0.001",
    ]
    job = plan.runs[2].choices[0]
    assert set(job.cfg["parts"]) == {"masked", "position"}
    assert job.cfg["budget"] == {"images": 64, "epochs": None, "flops": None, "seconds": None}
    assert job.place == f"cells/masked+position-seed0-base_lr0.001-{job.key[:8]}"


def test_a_bare_budget_is_flops_and_replaces_that_of_an_experiment(tiny_study):
    base = ["experiment=quickstart", "data.count=64", "data.batch_size=16"]
    job = planned(tiny_study(base=base, budget=1e9)).runs[0].choices[0]
    assert job.cfg["budget"] == {"images": None, "epochs": None, "flops": 1e9, "seconds": None}


def test_base_may_be_a_mapping_and_a_value_of_an_axis_several_overrides(tiny_study):
    base = {
        "encoder.options": {"depth": 2, "embed_dim": 48, "num_heads": 3},
        "image_size": 32,
        "data.count": 64,
    }
    encoders = [
        {"thin": {"encoder.patch_size": 8, "optimizer": "sgd"}},
        {"other": ["encoder.patch_size=4"]},
    ]
    folder = tiny_study(
        base={**base, "data.batch_size": 16}, axes={"encoder": encoders, "seed": [3]}
    )
    plan = planned(folder)
    assert [run.name for run in plan.runs] == ["thin-seed3", "other-seed3"]
    first, second = (run.choices[0].cfg for run in plan.runs)
    assert first["optimizer"]["_target_"].endswith("SGD")
    assert (first["encoder"]["patch_size"], second["encoder"]["patch_size"]) == (8, 4)
    assert [run.name for run in planned(folder, "encoder=other").runs] == ["other-seed3"]


def test_combinations_can_be_left_out(tiny_study):
    axes = {"task": ["jigsaw", "masked"], "seed": [0, 1]}
    plan = planned(tiny_study(axes=axes, without=[{"task": "masked", "seed": 1}]))
    assert [run.name for run in plan.runs] == ["jigsaw-seed0", "jigsaw-seed1", "masked-seed0"]


def test_images_that_lie_elsewhere_are_the_same_cell_and_other_images_are_not(tmp_path, tiny_study):
    import numpy as np
    from PIL import Image

    def images(place: Path, count: int) -> Path:
        for split in ("train", "val"):
            for index in range(count):
                file = place / split / f"class{index % 2}" / f"{index}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((32, 32, 3), 8 * index, np.uint8)).save(file)
        return place

    base = [word for word in SMALL if not word.startswith(("budget", "data.count"))]
    folder = tiny_study(base=[*base, "data=folder", "data.batch_size=4"], axes={"seed": [0]})
    keys = [
        planned(folder, f"data.root={images(tmp_path / name, count)}").runs[0].choices[0].key
        for name, count in (("here", 8), ("there", 8), ("more", 10))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_tuning_tries_the_same_values_for_every_group_with_its_own_seed_and_share(tiny_study):
    tune = {"values": {"optimizer.base_lr": [1e-3, 2e-3]}, "share": 0.5, "seed": 100}
    plan = planned(tiny_study(axes={"task": ["jigsaw", "masked"], "seed": [0, 1, 2]}, tune=tune))
    assert [job.name for job in plan.trials] == [
        f"{task}-base_lr{lr}" for task in ("jigsaw", "masked") for lr in ("0.001", "0.002")
    ]
    assert {(job.cfg["seed"], job.cfg["budget"]["images"]) for job in plan.trials} == {(100, 32)}
    for run in plan.runs:
        assert run.trials == [f"{run.axes['task']}-base_lr{lr}" for lr in ("0.001", "0.002")]
        assert [job.cfg["optimizer"]["base_lr"] for job in run.choices] == [1e-3, 2e-3]


def test_the_supervised_baseline_is_one_more_task_without_tiles(tiny_study):
    plan = planned(tiny_study(axes={"task": ["jigsaw", "masked"], "seed": [0]}, supervised=True))
    assert [run.name for run in plan.runs] == [
        "jigsaw-seed0",
        "masked-seed0",
        "supervised-seed0",
    ]
    cfg = plan.runs[-1].choices[0].cfg
    assert cfg["task"]["_target_"].endswith("Supervised")
    assert "sampler" not in cfg
    assert len(planned(tiny_study(), "supervised=true").runs) == 4  # two seeds of each


def test_seeds_and_budgets_that_are_filled_in_are_those_that_composing_gives(
    tiny_study, monkeypatch
):
    tune = {"values": {"optimizer.base_lr": [1e-3, 2e-3]}, "share": 0.3, "seed": 100}
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [1, 2]}, tune=tune, budget=1e9)
    quick = planned(folder)
    monkeypatch.setattr(planning, "PLAIN", re.compile("nothing"))
    assert planned(folder) == quick


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"axes": {"task": [], "seed": [0]}},
            "axes.task: is empty; give it a value, or take it out",
        ),
        ({"axes": {"seed": [0, 1, 0]}}, "axes.seed: 0 stands there twice"),
        ({"axis": {"seed": [0]}}, "axis: unknown key; did you mean 'axes'?"),
        (
            {"axes": {"task": ["jigsaw", "maskd"]}},
            "task=maskd: must name one of conf/task; did you mean 'masked'?",
        ),
        ({"axes": {"sed": [0]}}, "sed: unknown key; did you mean 'seed'?"),
        (
            {"axes": {"task.permutations": [24], "task": ["jigsaw", "masked"]}},
            "task.permutations: unknown key",
        ),
        (
            {"axes": {"image_size": [32, 64]}},
            "axes.image_size: image_size is set by base too; take one of them out",
        ),
        ({"budget": {"image": 10}}, "budget.image: unknown key; did you mean 'budget.images'?"),
        ({"budget": {"images": 10, "flops": 1}}, "must be one amount above 0"),
        ({"budget": -1}, "budget=-1: must be one amount above 0"),
        (
            {"budget": None},
            "budget: missing, runs are compared at an equal one; give budget.flops=1e13",
        ),
        ({"axes": {"budget.images": [10, 20]}}, "budget.images is set by axes.budget.images too"),
        ({"axes": {"sampler.tile": [5]}}, "sampler.tile=5: must be a multiple of the ViT's patch"),
        (
            {"axes": {"data.batch_size": [512]}, "base": ["image_size=32"], "tune": None},
            "data.batch_size=512",
        ),
        ({"axes": {"encoder": [{"a": {}, "b": {}}]}}, "must be one name and its overrides"),
        (
            {"axes": {"optimizer": ["adamw", {"too": {"optimizer": "adamw"}}]}},
            "optimizertoo: is the same run as optimizeradamw",
        ),
        ({"without": [{"task": "masked"}]}, "without: {task: masked} is on no axis"),
        ({"base": ["resume=true"]}, "resume: is set by the study"),
        (
            {"tune": {"values": {"optimizer.base_lr": [1e-3]}, "share": 2.0, "seed": 9}},
            "tune.share=2.0: must be above 0",
        ),
        (
            {"tune": {"values": {"optimizer.base_lr": [1e-3]}, "share": 0.2, "seed": 1}},
            "tune.seed=1: is a seed of the study",
        ),
        ({"tune": {"values": {}, "share": 0.2, "seed": 9}}, "tune.values: is empty"),
        (
            {"tune": {"values": {"seed": [4, 5]}, "share": 0.2, "seed": 9}},
            "tune.values.seed: is set by axes.seed too",
        ),
        (
            {"tune": {"value": {"a": [4]}, "share": 0.2, "seed": 9}},
            "tune.value: unknown key; did you mean 'tune.values'?",
        ),
        (
            {"tune": {"values": {"optimizer.lr": [1]}, "share": 0.2, "seed": 9}},
            "jigsaw-lr1: optimizer.lr: unknown key",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_key_rule_and_remedy(keys, said, tiny_study):
    if keys.get("base") == ["image_size=32"]:
        keys = {
            **keys,
            "base": [word for word in SMALL if not word.startswith(("budget", "data.batch_size"))],
        }
    assert said in refusals(tiny_study(**keys))


def test_all_problems_of_all_cells_are_told_together_each_once(tiny_study):
    told = refusals(tiny_study(axes={"task": ["maskd", "jigsw"], "seed": [0, 1]}))
    assert told.count("maskd: must") == told.count("jigsw: must") == 1


@pytest.mark.parametrize(
    ("name", "runs", "trials"),
    [
        ("tasks_embedded", 4, 0),
        pytest.param("tasks_cifar10", 6, 12, marks=pytest.mark.slow),
        pytest.param("tasks_imagenette", 11, 22, marks=pytest.mark.slow),
        ("imagenette_gpu", 4, 0),
        pytest.param("tasks_cifar10_1e14", 5, 0, marks=pytest.mark.slow),
    ],
)
def test_the_studies_that_come_with_the_package_can_be_planned(name, runs, trials, tmp_path):
    import numpy as np
    from PIL import Image

    own_batch = name == "tasks_cifar10_1e14"  # of up to 256 images, each task its own
    for split in ("train", "val"):
        for index in range(256 if own_batch else 8):
            file = tmp_path / "images" / split / f"class{index % 2}" / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file)
    words = ["seed=0"]  # seeds only repeat what is composed
    if name != "tasks_embedded":
        words += [f"data.root={tmp_path / 'images'}"]
        words += [] if own_batch else ["data.batch_size=8"]
    plan = planning.plan(
        design.read_study(REPOSITORY / "experiments" / name, words), tmp_path / "out"
    )
    tasks = {run.axes["task"] for run in plan.runs}
    assert (len(plan.runs), len(plan.trials)) == (runs, trials)
    assert {"jigsaw", "masked"} <= tasks
    assert not (tmp_path / "out").exists()


def test_a_run_of_before_is_found_and_images_that_changed_are_run_anew(tmp_path, tiny_study):
    """Names and sizes stay the same."""
    images = tmp_path / "images"
    images.mkdir()
    for at in range(40):
        np.save(images / f"{at}.npy", np.random.default_rng(at).integers(0, 99, (40, 40, 3)))
    data = [f"data.root={images}", "data=folder", "data.batch_size=8", "image_size=32"]
    data += ["data.value_range=[0,99]", "encoder.patch_size=8"]
    folder = tiny_study(base=data, axes={"task": ["jigsaw"], "seed": [0]})
    job = planned(folder).runs[0].choices[0]
    for at in range(40):
        path = images / f"{at}.npy"
        np.save(path, 99 - np.load(path))
    other = planned(folder).runs[0].choices[0]
    assert job.place != other.place
    assert not other.former
    cfg = other.cfg
    prints = [
        build_data.source(cfg, split, whole=False).former_fingerprint()
        for split in ("train", "val")
    ]
    before = jobs.run_key(cfg, " ".join(prints))
    at = folder / "out" / "cells" / f"{other.name}-{before[:8]}"
    at.mkdir(parents=True)
    (at / "summary.json").write_text(json.dumps({"data_fingerprint": prints[0]}))
    found = planned(folder).runs[0].choices[0]
    assert (found.key, found.former) == (before, True)
    told = {"data_fingerprint": "another", "former_fingerprint": prints[0]}
    (at / "summary.json").write_text(json.dumps(told))
    assert planned(folder).runs[0].choices[0] == other


def test_axes_in_another_order_are_the_same_runs(tiny_study):
    """What was trained under one order of study.yaml is found under any other."""
    axes = {"task": ["jigsaw", "masked"], "optimizer.base_lr": [1e-3], "seed": [0, 1]}
    first = planned(folder := tiny_study(axes=axes))
    for run in first.runs:
        first.directory(run.choices[0]).mkdir(parents=True)
    turned = planned(tiny_study(axes=dict(reversed(axes.items()))))
    places = [{run.choices[0].place for run in plan.runs} for plan in (first, turned)]
    assert places[0] == places[1]
    assert {run.name for run in first.runs}.isdisjoint(run.name for run in turned.runs)
    other = planned(tiny_study(axes={**axes, "seed": [2]}))
    assert not places[0] & {run.choices[0].place for run in other.runs}
    assert folder.is_dir()
