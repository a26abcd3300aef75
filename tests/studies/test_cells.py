"""What a study asks for becomes cells with keys; everything that cannot be meant is refused before
anything is written."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from small import REPOSITORY, SMALL

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.config.words import spelled
from ssl_patches.studies import cells, design


def planned(folder: Path, *words: str) -> cells.Plan:
    return cells.plan(design.read(folder, words), folder / "out")


def refusals(folder: Path, *words: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        planned(folder, *words)
    assert not (folder / "out").exists()
    return str(caught.value).replace(f"{folder}/study.yaml: ", "")


def composed(*words: str) -> dict:
    return mixture.request([*SMALL, *words], supplied=SUPPLIED, schema=PRETRAIN)


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
    assert [cell.name for cell in plan.cells] == [
        "jigsaw-seed0-base_lr0.001",
        "jigsaw-seed1-base_lr0.001",
        "masked+position-seed0-base_lr0.001",
        "masked+position-seed1-base_lr0.001",
    ]
    job = plan.cells[2].choices[0]
    assert set(job.cfg["parts"]) == {"masked", "position"}
    assert job.cfg["budget"] == {"images": 64, "epochs": None, "flops": None, "seconds": None}
    assert job.place == f"cells/masked+position-seed0-base_lr0.001-{job.key[:8]}"


def test_a_bare_budget_is_flops_and_replaces_that_of_an_experiment(tiny_study):
    base = ["experiment=quickstart", "data.count=64", "data.batch_size=16"]
    job = planned(tiny_study(base=base, budget=1e9)).cells[0].choices[0]
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
    assert [cell.name for cell in plan.cells] == ["thin-seed3", "other-seed3"]
    first, second = (cell.choices[0].cfg for cell in plan.cells)
    assert first["optimizer"]["_target_"].endswith("SGD")
    assert (first["encoder"]["patch_size"], second["encoder"]["patch_size"]) == (8, 4)
    assert [cell.name for cell in planned(folder, "encoder=other").cells] == ["other-seed3"]


def test_words_replace_values_of_axes_and_the_budget_and_add_axes(tiny_study):
    plan = planned(tiny_study(), "seed=range(5,7)", "views=none,crop_flip", "budget.images=32")
    assert [cell.name for cell in plan.cells] == [
        f"jigsaw-seed{seed}-{views}" for seed in (5, 6) for views in ("none", "crop_flip")
    ]
    assert {cell.choices[0].cfg["budget"]["images"] for cell in plan.cells} == {32}


def test_combinations_can_be_left_out(tiny_study):
    axes = {"task": ["jigsaw", "masked"], "seed": [0, 1]}
    plan = planned(tiny_study(axes=axes, without=[{"task": "masked", "seed": 1}]))
    assert [cell.name for cell in plan.cells] == ["jigsaw-seed0", "jigsaw-seed1", "masked-seed0"]


def test_the_key_is_what_decides_the_numbers_and_nothing_else():
    key = cells.key_of(composed(), "data")
    same = [
        "run_dir=elsewhere",
        "resume=true",
        "data.num_workers=2",
        "trainer.device=cpu",
        "trainer.log_every=3",
        "logger=wandb",
    ]
    assert {cells.key_of(composed(word), "data") for word in same} == {key}
    others = ["seed=1", "task=masked", "task.permutations=24", "sampler.gap=1", "optimizer.base_lr=1e-3",
              "trainer.precision=bf16", "budget.images=128", "evaluation.train_images=32", "data.count=128"]  # fmt: skip
    changed = [cells.key_of(composed(word), "data") for word in others]
    assert len({key, *changed, cells.key_of(composed(), "other data")}) == len(others) + 2


def test_the_key_names_the_protocol(monkeypatch):
    before = cells.key_of(composed(), "data")
    monkeypatch.setattr(cells, "TRAINING", cells.TRAINING + 1)
    assert cells.key_of(composed(), "data") != before


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
        planned(folder, f"data.root={images(tmp_path / name, count)}").cells[0].choices[0].key
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
    for cell in plan.cells:
        assert cell.trials == [f"{cell.axes['task']}-base_lr{lr}" for lr in ("0.001", "0.002")]
        assert [job.cfg["optimizer"]["base_lr"] for job in cell.choices] == [1e-3, 2e-3]


def test_the_supervised_baseline_is_one_more_task_without_tiles(tiny_study):
    plan = planned(tiny_study(axes={"task": ["jigsaw", "masked"], "seed": [0]}, supervised=True))
    assert [cell.name for cell in plan.cells] == [
        "jigsaw-seed0",
        "masked-seed0",
        "supervised-seed0",
    ]
    cfg = plan.cells[-1].choices[0].cfg
    assert cfg["task"]["_target_"].endswith("Supervised")
    assert "sampler" not in cfg
    assert len(planned(tiny_study(), "supervised=true").cells) == 4  # two seeds of each


def test_seeds_and_budgets_that_are_filled_in_are_those_that_composing_gives(
    tiny_study, monkeypatch
):
    tune = {"values": {"optimizer.base_lr": [1e-3, 2e-3]}, "share": 0.3, "seed": 100}
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [1, 2]}, tune=tune, budget=1e9)
    quick = planned(folder)
    monkeypatch.setattr(cells, "PLAIN", re.compile("nothing"))
    assert planned(folder) == quick


def test_a_plan_survives_its_file(tiny_study, tmp_path):
    tune = {"values": {"optimizer.base_lr": [1e-3, 2e-3]}, "share": 0.5, "seed": 100}
    plan = planned(tiny_study(tune=tune, supervised=True))
    assert cells.load(plan.save()) == plan
    assert plan.save() == plan.save() != dataclasses.replace(plan, trials=[]).save()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"axes": {"task": [], "seed": [0]}}, "axes.task: is empty; give it a value, or take it out"),
        ({"axes": {"seed": [0, 1, 0]}}, "axes.seed: 0 stands there twice"),
        ({"axis": {"seed": [0]}}, "axis: unknown key; did you mean 'axes'?"),
        ({"axes": {"task": ["jigsaw", "maskd"]}}, "task=maskd: must name one of conf/task; did you mean 'masked'?"),
        ({"axes": {"sed": [0]}}, "sed: unknown key; did you mean 'seed'?"),
        ({"axes": {"task.permutations": [24], "task": ["jigsaw", "masked"]}}, "task.permutations: unknown key"),
        ({"axes": {"image_size": [32, 64]}}, "axes.image_size: image_size is set by base too; take one of them out"),
        ({"budget": {"image": 10}}, "budget.image: unknown key; did you mean 'budget.images'?"),
        ({"budget": {"images": 10, "flops": 1}}, "must be one amount above 0"),
        ({"budget": -1}, "budget=-1: must be one amount above 0"),
        ({"budget": None}, "budget: missing, cells are compared at an equal one; give budget.flops=1e13"),
        ({"axes": {"budget.images": [10, 20]}}, "budget.images is set by axes.budget.images too"),
        ({"axes": {"sampler.tile": [5]}}, "sampler.tile=5: must be a multiple of the ViT's patch"),
        ({"axes": {"data.batch_size": [512]}, "base": ["image_size=32"], "tune": None}, "data.batch_size=512"),
        ({"axes": {"encoder": [{"a": {}, "b": {}}]}}, "must be one name and its overrides"),
        ({"axes": {"optimizer": ["adamw", {"too": {"optimizer": "adamw"}}]}}, "optimizertoo: is the same run as optimizeradamw"),
        ({"without": [{"task": "masked"}]}, "without: {task: masked} is on no axis"),
        ({"base": ["resume=true"]}, "resume: a cell's own business"),
        ({"tune": {"values": {"optimizer.base_lr": [1e-3]}, "share": 2.0, "seed": 9}}, "tune.share=2.0: must be above 0"),
        ({"tune": {"values": {"optimizer.base_lr": [1e-3]}, "share": 0.2, "seed": 1}}, "tune.seed=1: is a seed of the study"),
        ({"tune": {"values": {}, "share": 0.2, "seed": 9}}, "tune.values: is empty"),
        ({"tune": {"values": {"seed": [4, 5]}, "share": 0.2, "seed": 9}}, "tune.values.seed: is set by axes.seed too"),
        ({"tune": {"value": {"a": [4]}, "share": 0.2, "seed": 9}}, "tune.value: unknown key; did you mean 'tune.values'?"),
        ({"tune": {"values": {"optimizer.lr": [1]}, "share": 0.2, "seed": 9}}, "jigsaw-lr1: optimizer.lr: unknown key"),
    ],
)  # fmt: skip
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


def test_values_of_yaml_are_spelled_so_that_hydra_reads_them_back():
    values = {
        "a": 1, "b": 1e-5, "c": True, "d": None, "e": "plain", "f": "two words", "g": 'say "a\\"', "h": "true", "i": "1e3",
        "j": [1, "x y", [None]], "k": {"depth": 2, "inner": {"name": "é, {b}: [c]"}}, "l": "", "m": "jigsaw+masked", "n": "end\\",
        "o": "a=b,c",
    }  # fmt: skip
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    for value in values.values():
        parsed = parser.parse_override(f"key={spelled(value)}")
        found = parsed.value()
        assert _plain(found) == value, spelled(value)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return getattr(value, "text", value)


def test_sweeps_are_read_by_hydras_own_grammar():
    found = config.sweeps(
        [
            "task=glob(*,exclude=rel*)",
            "seed=range(0,3)",
            "a.b=1e-3,2e-3",
            "x='a,b'",
            "y=[1,2]",
            "==",
        ]
    )
    assert found == [
        ("task", ["jigsaw", "masked", "position"]),
        ("seed", ["0", "1", "2"]),
        ("a.b", ["0.001", "0.002"]),
        ("x='a,b'", None),
        ("y=[1,2]", None),
        ("==", None),
    ]
    with pytest.raises(ValueError, match="names no single values"):
        config.sweeps(["a=interval(0,1)"])


@pytest.mark.parametrize(
    "name",
    ["tasks_embedded", "tasks_cifar10", pytest.param("tasks_imagenette", marks=pytest.mark.slow)],
)
def test_the_studies_that_come_with_the_package_can_be_planned(name, tmp_path):
    import numpy as np
    from PIL import Image

    for split in ("train", "val"):
        for index in range(8):
            file = tmp_path / "images" / split / f"class{index % 2}" / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file)
    words = (
        ["seed=0"]
        if name == "tasks_embedded"
        else [f"data.root={tmp_path / 'images'}", "data.batch_size=8"]
    )
    plan = cells.plan(design.read(REPOSITORY / "experiments" / name, words), tmp_path / "out")
    tasks = {cell.axes["task"] for cell in plan.cells}
    assert (
        len(plan.cells) == {"tasks_embedded": 4, "tasks_cifar10": 18, "tasks_imagenette": 33}[name]
    )
    assert (
        len(plan.trials) == {"tasks_embedded": 0, "tasks_cifar10": 12, "tasks_imagenette": 22}[name]
    )
    assert {"jigsaw", "relative", "masked"} <= tasks
    assert not (tmp_path / "out").exists()


def test_a_bad_study_ends_with_code_2_and_writes_nothing(tiny_study, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", str(tiny_study(axes={"task": []}))]) == 2
    assert main(["study", "nowhere"]) == 2
    assert main(["study", str(tiny_study()), "workers=0"]) == 2
    assert main(["study", str(tiny_study()), "launcher=slrum"]) == 2
    assert main(["study", str(tiny_study()), "slurm.partition=main"]) == 2
    assert main(["study"]) == 2
    assert main(["pretrain", "-m", *SMALL, "task=jigsaw,maskd"]) == 2
    told = capsys.readouterr().err
    for said in ("axes.task: is empty", "no such file", "workers=0: must be a whole number from 1", "one of local, slurm",
                 "has no effect without launcher=slurm", "takes one study", "did you mean 'masked'?"):  # fmt: skip
        assert said in told
    assert {path.name for path in tmp_path.iterdir()} == {"tiny"}
