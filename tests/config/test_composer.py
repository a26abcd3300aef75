"""What is typed becomes plain containers, or a list of everything that is wrong with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toy_conf import install, refused, write

from ssl_patches import config
from ssl_patches.cli.completion import complete
from ssl_patches.config import compose, request

RULES = {
    "supplied": {"task": {"dim"}},
    "schema": {
        "seed": int,
        "image_size": int,
        "run_dir": str | None,
        "budget": {"images": int | None, "epochs": int | None},
    },
}


@pytest.fixture(autouse=True)
def conf(tmp_path, monkeypatch) -> Path:
    return install(tmp_path, monkeypatch)


def test_plain_containers_come_out_resolved():
    found = compose("evaluate", ["model=resnet18", "seed=5"])
    assert json.loads(json.dumps(found)) == found
    assert type(found["data"]) is dict
    assert (found["half"], found["model"]) == (5, "resnet18")


def test_values_and_choices_are_taken():
    found = compose(
        "pretrain", ["task=position", "seed=3", "budget.images=1000", "run_dir=runs/a b"]
    )
    assert (found["seed"], found["budget"]["images"], found["run_dir"]) == (3, 1000, "runs/a b")
    assert found["task"]["_target_"] == "conf_toys.Position"


def test_a_task_brings_its_sampler():
    assert compose("pretrain", [])["sampler"]["rows"] == 3
    assert compose("pretrain", ["task=position"])["sampler"]["rows"] == 14


@pytest.mark.parametrize("first", [0, 1])
def test_the_users_sampler_wins_over_the_tasks_in_any_order(first):
    words = ["task=position", "sampler=tiles_2x2"]
    assert compose("pretrain", [words[first], words[1 - first]])["sampler"]["rows"] == 2


def test_an_experiment_wins_over_the_task_and_the_user_over_the_experiment():
    assert compose("pretrain", ["experiment=small"])["sampler"]["rows"] == 2
    assert (
        compose("pretrain", ["experiment=small", "sampler=tokens", "image_size=64"])["sampler"][
            "rows"
        ]
        == 14
    )
    assert compose("pretrain", ["experiment=small"])["image_size"] == 32


def test_a_knob_that_the_yaml_does_not_list_needs_no_plus():
    found = compose("pretrain", ["task.ratio=0.25", "sampler.gap=4", "task.options.depth.first=2"])
    assert (found["task"]["ratio"], found["sampler"]["gap"]) == (0.25, 4)
    assert found["task"]["options"] == {"depth": {"first": 2}}


@pytest.mark.parametrize("key", ["a", "b"])
def test_a_mapping_that_is_typed_joins_the_one_of_an_experiment(conf, key):
    write(conf, {"experiment/set": "# @package _global_\ntask: {options: {a: {x: 1}}}"})
    found = compose("pretrain", ["experiment=set", f"task.options={{{key}:{{x:2}}}}"])
    assert found["task"]["options"] == {"a": {"x": 1}, key: {"x": 2}}


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("sed=1", "sed: unknown key; did you mean 'seed'?"),
        ("task.permutation=3", "task.permutation: unknown key; did you mean 'task.permutations'?"),
        ("task.raito=3", "task.raito: unknown key; did you mean 'task.ratio'?"),  # not in the YAML
        ("budget.image=3", "budget.image: unknown key; did you mean 'budget.images'?"),
        ("tsk=jigsaw", "tsk=jigsaw: unknown key; did you mean 'task'?"),
        (
            "task=jigsw",
            (
                "task=jigsw: must name one of conf/task; did you mean 'jigsaw'? there are: jigsaw,"
                " position"
            ),
        ),
        (
            "data=/my/images",
            "data=/my/images: must name one of conf/data; there are: embedded, folder",
        ),
        ("task=3", "task=3: must name one of conf/task; there are: jigsaw, position"),
        (
            "task=null",
            (
                "task=null: must name one of conf/task; to leave it out give ~task; there are:"
                " jigsaw, position"
            ),
        ),
        ("seed", "seed: must be KEY=VALUE; give seed=VALUE"),
        ("sede", "sede: must be KEY=VALUE; give seed=VALUE"),
        ("=3", "=3: must be KEY=VALUE; give a key"),
        ("seed.x=3", "seed.x: 'seed' is one value (0); set seed=VALUE"),
        (
            "seed=1,2",
            "seed=1,2: must be one value; a list is 'seed=[1,2]', for several runs add -m",
        ),
        ("run_dir=a=b", "run_dir=a=b: cannot be read; quote the value: 'run_dir=\"a=b\"'"),
        ("data=folder", "data.root: missing; give data.root=DIR"),
        (
            "seed=${nothing}",
            (
                "seed=${nothing}: ${nothing} stands for the value of a key, and there is no"
                " nothing; set seed=VALUE, with '\\${' in quotes where these letters are meant"
            ),
        ),
        ("logger.x=1", "logger: none is chosen; give logger=NAME too (there are: csv)"),
        ("~sed", "~sed: there is none to leave out; did you mean 'seed'?"),
    ],
)
def test_each_mistake_is_one_line_with_its_remedy(override, problem):
    assert refused(override) == [problem]


def test_the_remedies_for_quoting_work():
    assert compose("pretrain", ['run_dir="a=b"'])["run_dir"] == "a=b"


def test_letters_that_stand_for_a_key_are_taken_as_letters_where_they_are_escaped():
    assert compose("pretrain", ["run_dir=\\${x}"])["run_dir"] == "${x}"


def test_settings_of_hydra_that_would_have_no_effect_are_refused():
    assert "no effect" in refused("hydra.run.dir=/x")[0]


def test_a_misspelt_command_is_refused():
    assert refused(command="pretrian") == ["pretrian: no such command; did you mean 'pretrain'?"]


def test_all_mistakes_are_listed_together_by_compose_and_check():
    words = (
        "sed=1",
        "tsk=jigsw",
        "task.permutaton=abc",
        "budget.image=5",
        "data=foldr",
        "image_size=big",
        "x(=3",
    )
    keys = [re.split("[=:]", problem)[0] for problem in refused(*words, ask=request, **RULES)]
    assert sorted(keys) == sorted(
        [
            "sed",
            "tsk",
            "task",
            "task.permutaton",
            "task.permutations",
            "budget.image",
            "data",
            "data.root",
            "image_size",
            "x(",
        ]
    )


def test_one_mistake_is_not_told_twice_nor_followed_by_its_consequences():
    assert refused("data=folder", "data.rot=/x", ask=request, **RULES) == [
        "data.rot: unknown key; did you mean 'data.root'?"
    ]
    assert len(refused("data=folder", "data.root=a(b", ask=request, **RULES)) == 1
    assert len(refused("data=folder", ask=request, **RULES)) == 1


def test_what_plus_lets_in_is_caught_by_the_check():
    assert compose("pretrain", ["+foo.bar=1"])["foo"] == {"bar": 1}
    assert refused("+foo.bar=1", ask=request, **RULES)[0].startswith("foo: unknown key")
    assert refused("+task.foo=1", ask=request, **RULES)[0].startswith(
        "task.foo: unknown key of Jigsaw"
    )


def test_what_leaks_from_an_experiment_into_another_task_is_caught(conf):
    write(
        conf,
        {
            "experiment/leak": (
                "# @package _global_\ndefaults: [{override /task: position}]\ntask: {share: 0.2}"
            )
        },
    )
    assert request("pretrain", ["experiment=leak"], **RULES)["task"]["share"] == 0.2
    (problem,) = refused("experiment=leak", "task=jigsaw", ask=request, **RULES)
    assert problem.startswith("task.share: unknown key of Jigsaw")


def test_what_the_program_supplies_is_not_offered_as_a_remedy():
    assert "dim" not in refused("task.zzzz=1", ask=request, **RULES)[0]


def test_keys_of_a_group_that_the_program_reads_itself_may_be_set_and_are_checked():
    rules = {**RULES, "schema": RULES["schema"] | {"sampler": {"workers": int}}}
    assert request("pretrain", ["sampler.workers=2"], **rules)["sampler"]["workers"] == 2
    (problem,) = refused("sampler.workers=two", ask=request, **rules)
    assert problem == "sampler.workers=two: must be a whole number; set sampler.workers=1"
    assert refused(ask=request, **rules) == ["sampler.workers: missing; give sampler.workers=1"]
    assert refused("sampler.workers=2", ask=request, **RULES) == [
        "sampler.workers: unknown key; choose among: gap, rows"
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pre"], ["pretrain"]),
        (["pretrain", "ta"], ["task="]),
        (["pretrain", "task"], ["task.", "task="]),
        (["pretrain", "task=ji"], ["task=jigsaw"]),
        (["pretrain", "task="], ["task=jigsaw", "task=position"]),
        (["pretrain", "se"], ["seed="]),
        (["pretrain", "bud"], ["budget."]),
        (["pretrain", "budget."], ["budget.epochs=", "budget.images="]),
        (["pretrain", "task."], ["task.options=", "task.permutations=", "task.ratio="]),
        (["pretrain", "task=position", "task."], ["task.share="]),
        (["pretrain", "seed=", "run_dir=x", "sampler.g"], ["sampler.gap="]),
        (["evaluate", "sampler=t"], []),
        (["nonsense", "x"], []),
        (["pretrain", "nonsense.x"], []),
    ],
)
def test_completion(words, expected):
    assert complete(words) == expected


def test_completion_sees_the_users_folder(tmp_path):
    mine = write(tmp_path / "mine", {"task/mosaic": "_target_: conf_toys.Position"})
    assert complete(["pretrain", "--config-dir", str(mine), "task=mo"]) == ["task=mosaic"]


SCRIPT = """
import sys, pathlib
from ssl_patches.cli import completion
from ssl_patches import config
from ssl_patches.config import files as conf_files
conf_files.conf_dir = lambda: pathlib.Path(sys.argv[1])
completion.complete(["pretrain", "task.per"])
late = [name for name in ("hydra", "omegaconf", "pydantic", "torch") if name in sys.modules]
config.compose("pretrain", ["task=position", "seed=3"])
print(late, "torch" in sys.modules, "hydra" in sys.modules)
"""


def test_completion_needs_no_hydra_and_composition_no_torch(conf):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(conf)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] False True"


def test_only_config_imports_hydra():
    package = Path(config.__file__).parents[1]
    importing = {
        file.parent.name
        for file in package.rglob("*.py")
        if re.search(
            r"^\s*(from|import) (hydra|omegaconf)", file.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert importing == {"config"}
