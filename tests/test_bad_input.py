"""Whatever is wrong with a request: exit code 2, a line with key, value, rule and remedy, and the
disk as it was."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import SMALL, SMALL_VIT

from ssl_patches.cli import main
from ssl_patches.config import files as conf_files

REMEDY = re.compile(
    r"\b(set|give|did you mean|choose|take it out|take the others out|there"
    r" are|remove|name|delete|see|quote|use|leave it out"
    r"|the default is|make)\b|\be\.g\. "
)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """The working directory of each request, so that whatever it writes is seen."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here, capsys):
    """Runs a request that must be refused; returns its lines on standard error, after checking all
    that holds for each."""

    def ask(*words: str, before: dict[str, bytes] | None = None) -> list[str]:
        before = contents(here) if before is None else before
        folders = {path for path in here.rglob("*") if path.is_dir()}
        capsys.readouterr()
        code = main(list(words))
        said = capsys.readouterr()
        lines = said.err.splitlines()
        assert code == 2, said.err
        assert said.out == ""
        assert "Traceback" not in said.err
        assert 1 <= len(lines) <= 3
        for line in lines:
            assert len(line) < 420, line
            assert REMEDY.search(line), f"no remedy in: {line}"
        assert contents(here) == before
        assert {path for path in here.rglob("*") if path.is_dir()} == folders
        return lines

    return ask


def images(folder: Path, count: int = 20, size: int = 40) -> Path:
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for at in range(count):
        Image.fromarray(draw.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(
            folder / f"{at}.png"
        )
    return folder


KEYS = [  # words after `pretrain` that the check refuses -> what the message must hold
    (["sed=1"], ["sed", "did you mean 'seed'"]),
    (["task.permutaions=9"], ["task.permutaions", "did you mean 'task.permutations'"]),
    (["budget.image=100"], ["budget.image", "did you mean 'budget.images'"]),
    (["encoder.option={depth:2}"], ["encoder.option", "did you mean 'encoder.options'"]),
    (["data.batchsize=4"], ["data.batchsize", "did you mean 'data.batch_size'"]),
    (["image_size=big"], ["image_size=big", "must be a whole number", "set image_size="]),
    (["seed=1.5"], ["seed=1.5", "must be a whole number"]),
    (["trainer.precision=fp8"], ["trainer.precision=fp8", "must be one of auto, fp32, bf16"]),
    (["task=masked", "task.mask=blok"], ["task.mask=blok", "did you mean task.mask=block?"]),
    (["encoder.options=deep"], ["encoder.options=deep", "must be a mapping of keys to values"]),
    (["resume=maybe"], ["resume=maybe", "must be true or false"]),
    (["encoder.channels=1"], ["encoder.channels=1: is derived by the program"]),
    (["task.dim=3"], ["task.dim"]),
]


def test_data_of_a_folder_without_a_folder(refused):
    assert refused("pretrain", "data=folder") == ["data.root: missing; give data.root=DIR"]


@pytest.mark.parametrize(
    ("words", "parts"), KEYS, ids=lambda value: " ".join(value) if "=" in value[0] else ""
)
def test_a_wrong_key_or_value(refused, words, parts):
    (line,) = refused("pretrain", *SMALL, *words)
    assert [part for part in parts if part not in line] == []


NEAR = {
    "task": ("jigsw", "jigsaw"),
    "sampler": ("tokes", "tokens"),
    "encoder": ("vit_tinny", "vit_tiny"),
    "data": ("foldr", "folder"),
    "views": ("crop_flp", "crop_flip"),
    "optimizer": ("adam", "adamw"),
    "trainer": ("defualt", "default"),
    "logger": ("wandbb", "wandb"),
    "callbacks": ("probs", "probes"),
    "experiment": ("first_light_cifar", "first_light_cifar10"),
    "spread": ("logdt", "logdet"),
}


def test_all_groups_are_tried_below():
    groups = {place.name for place in conf_files.conf_dir().iterdir() if place.is_dir()}
    assert set(NEAR) == groups - {"probe"}  # of which a list names several: probes=[knn,linear]


@pytest.mark.parametrize("group", NEAR)
def test_an_unknown_name_of_a_group_is_answered_with_the_nearest(refused, group):
    wrong, right = NEAR[group]
    lines = refused("pretrain", f"{group}={wrong}")
    assert any(
        line.startswith(f"{group}={wrong}: must name one of conf/{group}; did you mean '{right}'?")
        for line in lines
    )


VALUES = [  # words that compose, and that the part which knows the rule refuses
    (
        ["sampler.tile=48", "image_size=128"],
        ["sampler.tile=48", "does not fit", "set sampler.tile="],
    ),
    (["sampler.rows=50", "sampler.cols=50"], ["sampler.rows=50", "image_size=32"]),
    (["sampler.rows=4", "sampler.cols=null"], ["sampler.rows=4", "sampler.cols=None"]),
    (["sampler.rows=1", "sampler.cols=1"], ["1 x 1", "at least 2"]),
    (
        ["sampler.tile=7"],
        ["sampler.tile=7", "multiple of the ViT's patch, 8 px", "set sampler.tile=8"],
    ),
    (["sampler.gap=9"], ["gap", "does not fit"]),
    (["sampler.gap=-1"], ["sampler.gap=-1", "0 or more"]),
    (["sampler.tile=0"], ["sampler.tile=0", "at least 1 px"]),
    (["sampler.jitter=99"], ["sampler.jitter=99", "from 0 to 1"]),
    (["sampler.scales=[2,1]"], ["sampler.scales=[2, 1]", "0 < low <= high"]),
    (["sampler.colour.grey=1.5"], ["sampler.colour.grey=1.5", "from 0 to 1"]),
    (["task=masked", "task.mask_ratio=1.5"], ["task.mask_ratio=1.5"]),
    (["task=masked", "task.mask_ratio=0"], ["task.mask_ratio=0"]),
    (["task=masked", "task.mask_ratio=-0.5"], ["task.mask_ratio=-0.5"]),
    (["task=masked", "task.width=7"], ["task.width=7"]),
    (["task=masked", "task.width=18"], ["task.width=18", "of 4"]),
    (["task=masked", "task.heads=0"], ["task.heads=0"]),
    (["task=masked", "task.depth=-1"], ["task.depth=-1"]),
    (["task=position", "task.placed=1.5"], ["task.placed=1.5"]),
    (["task=position", "task.placed=-1"], ["task.placed=-1"]),
    (["task=position", "task.mask_ratio=1.0"], ["task.mask_ratio=1.0"]),
    (["task=position", "task.smoothing=-1"], ["task.smoothing=-1"]),
    (["task=relation", "task.placed=1"], ["task.placed=1"]),
    (["task=relation", "task.width=0"], ["task.width=0"]),
    (
        ["task=relation", "encoder=resnet18", "encoder.options={}", "encoder.patch_size=null"],
        ["set sampler=tokens"],
    ),
    (["task.permutations=0"], ["task.permutations=0"]),
    (["task.permutations=1"], ["task.permutations=1"]),
    (["task.permutations=100000000"], ["task.permutations=100000000"]),
    (["task.puzzles=0"], ["task.puzzles=0"]),
    (["task.dropout=1"], ["task.dropout=1"]),
    (["task.hidden=0"], ["task.hidden=0"]),
    (["task=relative", "sampler.rows=1", "sampler.cols=3"], ["sampler.rows=1"]),
    (["views.scale=[0,2]"], ["views.scale=[0, 2]"]),
    (["views.flip=2"], ["views.flip=2"]),
    (["optimizer.base_lr=-1"], ["optimizer.base_lr=-1"]),
    (["optimizer.warmup=1"], ["optimizer.warmup=1"]),
    (["optimizer.betas=[1,2,3]"], ["optimizer.betas"]),
    (["trainer.log_every=0"], ["trainer.log_every=0"]),
    (["budget.epochs=1"], ["budget.images=64", "budget.epochs=1", "only one can be set"]),
    (["budget.images=-5"], ["budget.images=-5", "more than 0"]),
    (["data.batch_size=100"], ["data.batch_size=100", "1 to 64"]),
    (["data.batch_size=0"], ["data.batch_size=0"]),
    (["data.num_workers=-1"], ["data.num_workers=-1"]),
    (["data.count=0"], ["data.count=0"]),
    (["task=masked", "image_size=24"], ["image_size=24", "32 to 256"]),
    (["image_size=0"], ["image_size=0"]),
    (["image_size=1e9"], ["image_size=1000000000.0", "at most 16,384 px", "set image_size=224"]),
    (["image_size=36"], ["image_size=36", "multiple of", "patch"]),
    (["seed=-1"], ["seed=-1"]),
    (["evaluation.train_images=0"], ["evaluation.train_images=0"]),
    (["evaluation.batch_size=0"], ["evaluation.batch_size=0"]),
    (["encoder.name=resnet1888"], ["encoder.name=resnet1888", "did you mean"]),
    (
        ["encoder.name=regnety_002"],
        ["encoder.name=regnety_002", "not supported", "vit_tiny_patch16_224"],
    ),
    (["encoder.name=swin_tiny_patch4_window7_224"], ["not supported", "vit_tiny_patch16_224"]),
    (["encoder.name=resnet18"], ["encoder.patch_size=8", "encoder.output_stride"]),
    (["encoder.output_stride=8"], ["encoder.output_stride=8", "encoder.patch_size"]),
    (["encoder.patch_size=0"], ["encoder.patch_size=0"]),
    (["encoder.patch_size=-8"], ["encoder.patch_size=-8"]),
    (["encoder.options={colour:3}"], ["encoder.options", "colour"]),
    (["encoder.options={embed_dim:50,num_heads:3}"], ["encoder.options", "50"]),
    (["encoder.options={embed_dim:48,num_heads:3,depth:two}"], ["encoder.options", "two"]),
    (["encoder.options={num_classes:3}"], ["encoder.options.num_classes=3"]),
    (
        ["encoder=resnet18", "encoder.patch_size=null", "encoder.options={colour:3}"],
        ["encoder.options", "colour"],
    ),
    (
        ["encoder=resnet18", "encoder.patch_size=null", "encoder.options={layers:4}"],
        ["encoder.options", "layers"],
    ),
    (
        ["encoder=resnet18", "encoder.patch_size=null", "encoder.output_stride=7"],
        ["encoder.output_stride=7"],
    ),
]


@pytest.mark.parametrize(
    ("words", "parts"), VALUES, ids=lambda value: " ".join(value) if "=" in value[0] else ""
)
def test_a_value_that_does_not_fit(refused, words, parts):
    options = (
        words
        if any(word.startswith(("encoder.options", "encoder.patch")) for word in words)
        else [*SMALL_VIT, *words]
    )
    (line,) = refused("pretrain", *[word for word in SMALL if word not in SMALL_VIT], *options)
    assert [part for part in parts if part not in line] == []


def test_a_folder_that_is_missing_empty_or_a_file(refused, here):
    (here / "empty").mkdir()
    (here / "texts").mkdir()
    (here / "texts" / "a.txt").write_text("no image")
    for name, rule in (
        ("nowhere", "does not exist"),
        ("empty", "0 images"),
        ("texts", "1 other files"),
        ("texts/a.txt", "is a file"),
    ):
        (line,) = refused(
            "pretrain", *SMALL_VIT, "image_size=32", "data=folder", f"data.root={name}"
        )
        assert f"data.root={name}: must" in line
        assert rule in line


def test_a_folder_of_nothing_but_damaged_images(refused, here):
    for at in range(4):
        for path in images(here / str(at), 3).iterdir():
            path.write_bytes(path.read_bytes()[:20])
    (line,) = refused(
        "pretrain", *SMALL_VIT, "image_size=32", "data=folder", "data.root=.", "data.batch_size=2"
    )
    assert line.startswith("data.root=.: must hold readable images, but none of")


def test_a_folder_whose_pixels_are_damaged_behind_sound_headers(refused, here):
    for path in images(here / "all", 12).iterdir():
        path.write_bytes(path.read_bytes()[:200])
    (line,) = refused(
        "pretrain", *SMALL_VIT, "image_size=32", "data=folder", "data.root=all", "data.batch_size=2"
    )
    assert "data." in line


def test_more_images_in_a_batch_than_in_the_folder(refused, here):
    images(here / "few", 12)
    (line,) = refused(
        "pretrain",
        *SMALL_VIT,
        "image_size=32",
        "data=folder",
        "data.root=few",
        "data.batch_size=64",
    )
    assert line.startswith("data.batch_size=64: must be 1 to")


def test_a_run_directory_that_is_in_use(refused, run_copy):
    (line,) = refused("pretrain", *SMALL, f"run_dir={run_copy}")
    assert line.startswith(f"run_dir={run_copy}: is in use")
    assert "resume=true" in line
    assert "overwrite=true" in line


def test_overwrite_never_deletes_what_is_no_run(refused, here):
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter.tex").write_text("years of work")
    (line,) = refused("pretrain", *SMALL, "run_dir=thesis", "overwrite=true")
    assert "is not a run of ssl-patches" in line


def test_run_directories_that_cannot_be_one(refused, here):
    (here / "file").write_text("")
    assert "is a file" in refused("pretrain", *SMALL, "run_dir=file")[0]
    assert "run_dir=file/inside" in refused("pretrain", *SMALL, "run_dir=file/inside")[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_directory_that_may_not_be_written(refused, here):
    (here / "closed").mkdir(mode=0o500)
    assert "run_dir=closed/a" in refused("pretrain", *SMALL, "run_dir=closed/a")[0]


def test_resume_and_overwrite_together(refused, run_copy):
    (line,) = refused("pretrain", *SMALL, f"run_dir={run_copy}", "resume=true", "overwrite=true")
    assert "only one of them" in line


@pytest.mark.parametrize(
    ("word", "key"),
    [
        (
            "encoder.options={depth:3,embed_dim:48,num_heads:3}",
            "encoder.options.depth was 2 and is now 3",
        ),
        ("data.seed=5", "data.seed"),
        ("data.count=80", "data.count was 64 and is now 80"),
        ("data.batch_size=8", "data.batch_size was 16 and is now 8"),
        ("seed=1", "seed was 0 and is now 1"),
        ("task=relative", "task"),
    ],
)
def test_resuming_the_checkpoint_of_another_model_or_other_data(refused, run_copy, word, key):
    (line,) = refused("pretrain", *SMALL, f"run_dir={run_copy}", "resume=true", word)
    assert line.startswith("resume=true")
    assert key in line


@pytest.mark.parametrize("kept", [0, 10, 5000])
def test_a_truncated_checkpoint(refused, run_copy, kept):
    last = run_copy / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    last.unlink()
    last.write_bytes(whole[:kept])
    (line,) = refused("pretrain", *SMALL, f"run_dir={run_copy}", "resume=true")
    assert f"checkpoint={last}: cannot be read" in line
    (line,) = refused("export", f"model={run_copy}", "output=out")
    assert f"checkpoint={last}: cannot be read" in line


def test_a_checkpoint_of_something_else(refused, run_copy):
    other = run_copy / "other.ckpt"
    torch.save({"weights": torch.zeros(3)}, other)
    (line,) = refused("export", f"model={run_copy}", "output=out", f"checkpoint={other}")
    assert "was not written by ssl-patches pretrain" in line


def test_a_run_from_elsewhere_cannot_name_code_to_run(refused, run_copy):
    settings = run_copy / "config.yaml"
    text = settings.read_text()
    assert "ssl_patches.encoders.create" in text
    settings.write_text(text.replace("ssl_patches.encoders.create", "subprocess.run"))
    (line,) = refused("export", f"model={run_copy}", "output=out")
    assert "is not among what a configuration from elsewhere may name" in line


WORDS = [  # other mistakes in commands -> what the message must hold
    (["pretrian"], ["pretrian: unknown command", "did you mean 'pretrain'"]),
    (["qwertz"], ["unknown command", "choose among: pretrain"]),
    (["pretrain", "--resume"], ["--resume: unknown flag of pretrain"]),
    (["pretrain", "--config-dri", "x"], ["did you mean --config-dir"]),
    (["pretrain", "--config-dir"], ["--config-dir: needs a value"]),
    (["pretrain", "--config-dir", "nowhere"], ["--config-dir", "nowhere: no such folder"]),
    (["pretrain", "jigsaw"], ["jigsaw: must be KEY=VALUE"]),
    (["evaluate"], ["model: missing", "give model="]),
    (["evaluate", "model=nowhere"], ["model=nowhere", "no such folder"]),
    (["evaluate", "model=resnet19", "data=embedded"], ["model=resnet19", "did you mean 'resnet1"]),
    (
        ["evaluate", "model=resnet18", "pretrained=false"],
        ["data: missing", "data=folder data.root=DIR"],
    ),
    (["evaluate", "model=empty"], ["model=empty", "must be an export"]),
    (["evaluate", "modle=resnet18"], ["modle: unknown key; did you mean 'model'?"]),
    (["evaluate", "model=resnet18", "data=embeded"], ["data=embeded", "did you mean 'embedded'"]),
    (["evaluate", "model=resnet18", "data=folder"], ["data.root: missing"]),
    (
        ["evaluate", "model=resnet18", "train_images=0", "data=embedded", "pretrained=false"],
        ["train_images=0"],
    ),
    (
        ["evaluate", "model=resnet18", "batch_size=0", "data=embedded", "pretrained=false"],
        ["batch_size=0"],
    ),
    (["export", "model=nowhere", "output=out"], ["model=nowhere", "config.yaml"]),
    (["export", "model=nowhere"], ["output: missing", "give output=DIR"]),
    (["export", "model=nowhere", "output=out", "formats=[onxx]"], ["formats=[onxx]"]),
    (["verify"], ["verify", "give ssl-patches verify DIR"]),
    (["verify", "a", "b"], ["verify a b: takes one folder"]),
    (["verify", "nowhere"], ["nowhere", "must be an export"]),
    (["compare"], ["compare: give runs"]),
    (["compare", "nowhere"], ["compare nowhere: no such folder"]),
    (["compare", "empty"], ["compare empty: no finished run"]),
    (["compare", "--cvs", "x"], ["--cvs: unknown flag of compare", "did you mean --csv"]),
    (["list"], ["list", "choose among: tasks"]),
    (["list", "task"], ["list task", "did you mean 'tasks'"]),
    (["list", "tasks", "encoders"], ["takes one group"]),
    (["completion", "fish"], ["bash or zsh"]),
]


@pytest.mark.parametrize(("words", "parts"), WORDS, ids=lambda value: " ".join(value))
def test_a_wrong_command_or_word(refused, here, words, parts):
    (here / "empty").mkdir()
    said = "\n".join(refused(*words))
    assert [part for part in parts if part not in said] == []


def test_export_onto_what_is_no_export(refused, finished_run, here):
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter.tex").write_text("years of work")
    assert "must be new or empty" in refused("export", f"model={finished_run}", "output=thesis")[0]
    assert (
        "no export"
        in refused("export", f"model={finished_run}", "output=thesis", "overwrite=true")[0]
    )


def test_images_of_other_channels_than_the_model_takes(refused, finished_run):
    words = ["data=embedded", "data.channels=1", "data.num_workers=0"]
    (line,) = refused("evaluate", f"model={finished_run}", *words)
    assert line == f"data.channels=1: {finished_run} takes images of 3; set data.channels=3"


def test_compare_into_a_folder_that_is_not_there(refused, finished_run):
    assert "--csv" in refused("compare", str(finished_run), "--csv", "nowhere/results.csv")[0]


def test_several_mistakes_are_told_together(refused):
    assert len(refused("pretrain", "sed=1", "task=jigsw", "image_size=big")) == 3


def test_the_fixture_would_see_what_a_request_leaves_behind(refused, here, monkeypatch):
    from ssl_patches.cli import commands

    def careless(request) -> int:
        (here / "runs").mkdir()
        raise ValueError("seed=1: must be 2; set seed=2")

    monkeypatch.setitem(commands.COMMANDS, "pretrain", careless)
    with pytest.raises(AssertionError):
        refused("pretrain")
    shutil.rmtree(here / "runs")
    monkeypatch.setitem(
        commands.COMMANDS, "pretrain", lambda request: commands._refuse("seed=1 is bad")
    )
    with pytest.raises(AssertionError, match="no remedy"):
        refused("pretrain")
