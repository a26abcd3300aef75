"""``ssl-patches evaluate`` on a run: what it leaves, and two encoders on the same images."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.data import FolderSource
from ssl_patches.encoders.exported import Subject
from ssl_patches.evaluation import PROTOCOL, Record
from ssl_patches.evaluation.command import chosen_data, evaluate_run, range_told, say_images
from ssl_patches.export import read_card

LIMITS = ("train_images=64", "test_images=32")


def test_a_run_leaves_the_answers_to_every_test_image_and_the_protocol(finished_run):
    record = Record.load(finished_run / "evaluation.npz")
    summary = json.loads((finished_run / "summary.json").read_text())
    assert [row.as_dict() for row in record.rows] == summary["results"]
    assert json.loads(json.dumps(PROTOCOL)) == record.protocol == summary["protocol"]
    assert {"knn20", "linear"} <= record.predictions.keys()
    right = 100 * (record.predictions["linear"] == record.labels).double().mean().item()
    assert right == next(
        row["value"] for row in summary["results"] if row["metric"] == "linear_top1"
    )


def test_two_encoders_are_compared_image_by_image_and_one_with_itself_does_not_differ(
    finished_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", f"model={finished_run}", *LIMITS, "probes=[knn]", "output=one.npz"]
    capsys.readouterr()
    assert main([*words, f"against={finished_run / 'encoder'}", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in rows} == {
        "trained",
        "random_init",
        "raw_pixels",
        "against",
        "difference",
    }
    pairs = {row["metric"]: row["value"] for row in rows if row["model"] == "difference"}
    assert pairs["knn20_top1"] == 0
    assert pairs["knn20_top1_p"] == 1
    assert Record.load(tmp_path / "one.npz").predictions.keys() == {
        "knn1",
        "knn5",
        "knn20",
        "knn64",
    }
    assert main([*words, "against=test_vit", "pretrained=false"]) == 0
    said = capsys.readouterr()
    assert "McNemar's p" in said.out
    assert f"protocol {PROTOCOL['version']}" in said.err
    assert "10 classes per image: accuracy" in said.err


def test_what_cannot_be_asked_is_refused_before_an_image_is_read(finished_run, capsys):
    for word, said in (
        ("probes=[lnear]", "did you mean 'linear'"),
        ("labels=tags", "labels=tags"),
        ("output=nowhere/a.npz", "there is no folder nowhere"),
        ("against=nowhere", "against=nowhere: no such folder"),
        ("rivals=[nowhere]", "rivals=nowhere: no such folder"),
        ("label_efficiency.of=tags", "label_efficiency.of=tags"),
    ):
        capsys.readouterr()
        assert main(["evaluate", f"model={finished_run}", word]) == 2
        assert said in capsys.readouterr().err


def test_labels_are_counted_beside_rivals_and_the_rows_are_left_with_the_run(
    run_copy, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", f"model={run_copy}", *LIMITS, "probes=[label_efficiency]", "--json"]
    words += ["label_efficiency.labels=[1]", "label_efficiency.draws=2"]
    capsys.readouterr()
    assert main([*words, f"rivals=[{run_copy / 'encoder'}]"]) == 0
    said = capsys.readouterr()
    rows = {(row["model"], row["metric"]): row["value"] for row in json.loads(said.out)}
    assert {model for model, _ in rows} == {"trained", "random_init", "raw_pixels", "run"}
    for metric in ("labels1_linear_top1", "labelsall_knn_top1"):
        assert rows["trained", metric] == rows["run", metric]
    assert "ours not told from" in said.err.splitlines()[-1]
    assert (run_copy / "figures" / "label_efficiency.png").is_file()
    kept = json.loads((run_copy / "label_efficiency.json").read_text())
    assert len(kept["rows"]) == len(rows)
    assert list((tmp_path / "runs" / ".label_efficiency").glob("*.npz"))
    assert main([*words, "label_efficiency.labels=[1,500]"]) == 2
    assert "label_efficiency.labels=[1,500]: class" in capsys.readouterr().err


FEW = ("train_images=40", "test_images=20", "--json")


@pytest.fixture
def streets(tmp_path):
    """A folder of images and masks, split as CamVid is; a street is dark on the left."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 3), ("test", 6)):
        for side in ("images", "masks"):
            (tmp_path / "streets" / split / side).mkdir(parents=True)
        for at in range(count):
            edge = draw.integers(10, 40)
            mask = (np.arange(48) >= edge).astype(np.uint8)[None].repeat(36, 0)
            image = 120 * mask[..., None] + draw.integers(0, 100, (36, 48, 3))
            mask[:4] = 11
            Image.fromarray(image.astype(np.uint8)).save(
                tmp_path / "streets" / split / "images" / f"{at}.png"
            )
            Image.fromarray(mask).save(tmp_path / "streets" / split / "masks" / f"{at}.png")
    (tmp_path / "streets" / "classes.txt").write_text(
        "".join(f"{label} class {label}\n" for label in range(12))
    )
    return tmp_path / "streets"


def rows_of(words, capsys):
    assert main(["evaluate", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_both_on_the_images_of_a_run(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = rows_of(
        [f"model={finished_run}", "probes=[segmentation,finetune]", "figures=drawn", *FEW],
        capsys,
    )
    by = {(row["model"], row["metric"]): row["value"] for row in rows}
    assert ("trained", "finetune_top1") in by
    assert ("random_init", "scratch_top1") in by
    for model in ("trained", "random_init", "raw_pixels"):
        assert 0 < by[model, "miou_knn"] <= by[model, "miou_ceiling"] + 10
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["segmentation.png"]
    assert not any(metric == "finetune_top1" for model, metric in by if model != "trained")


def test_a_folder_with_masks_and_no_classes(finished_run, streets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [
        f"model={finished_run}",
        "data=camvid",
        f"data.root={streets}",
        "data.num_workers=0",
        "--json",
    ]
    rows = rows_of([*words, "probes=[segmentation]"], capsys)
    by = {(row["model"], row["metric"]): row for row in rows}
    assert (
        by["raw_pixels", "miou_linear"]["value"] > 80
    )  # dark or bright: two classes that are there, unlabelled left out
    assert {row["n"] for row in rows} == {6}  # of test, not of val

    assert main(["evaluate", *words, "probes=[finetune]"]) == 2
    assert "needs images with labels" in capsys.readouterr().err


def test_without_masks_segmentation_is_a_bad_request(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "plain" / name).mkdir(parents=True)
        for at in range(6):
            Image.fromarray(np.full((32, 32, 3), 20 * at, np.uint8)).save(
                tmp_path / "plain" / name / f"{at}.png"
            )
    words = [
        f"model={finished_run}",
        "data=folder",
        "data.root=plain",
        "data.num_workers=0",
        "probes=[segmentation]",
    ]
    assert main(["evaluate", *words]) == 2
    assert "has no masks" in capsys.readouterr().err


def test_a_run_measures_what_its_images_allow_and_says_what_they_do_not(run_copy, streets):
    card, told = read_card(run_copy / "encoder")["config"], []
    data = {
        "_target_": "ssl_patches.data.MaskFolder",
        "root": str(streets),
        "void": [11],
        "batch_size": 4,
        "num_workers": 0,
    }
    settings = {**card["evaluation"], "probes": ["knn", "segmentation"]}
    cfg = {**card, "data": data, "evaluation": settings, "run_dir": str(run_copy)}
    rows = evaluate_run(run_copy / "encoder", cfg, say=told.append)
    assert any("no labels, so no knn" in line for line in told)
    assert {row["metric"] for row in rows} == {"miou_linear", "miou_knn", "miou_ceiling"}


def test_help_says_what_probes_are_and_where_more_are_listed(capsys):
    assert main(["evaluate", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in ("knn", "linear", "finetune", "roles"))
    assert "ssl-patches list probes" in said


# --- the data of a run, changed by a word


RUN_DATA = {
    "_target_": "ssl_patches.data.FolderSource",
    "root": "/gone",
    "batch_size": 4,
    "num_workers": 0,
}


def test_the_advice_of_a_message_works_as_it_stands():
    words, changes = config.without_data_keys(["model=RUN", "data.root=DIR", "data.num_workers=3"])
    assert words == ["model=RUN"]
    found = config.overlaid(RUN_DATA, changes)
    assert found == {**RUN_DATA, "root": "DIR", "num_workers": 3}
    with_name = ["model=RUN", "data=folder", "data.root=DIR"]
    assert config.without_data_keys(with_name) == (with_name, [])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.rot=x", r"data.rot: unknown key of the run's data; did you mean 'data.root'"),
        ("data.channels=three", r"data.channels=three: must be a whole number"),
        ("data.split=val", r"data.split: unknown key"),
    ],
)
def test_a_wrong_word_for_the_data_of_a_run_is_refused(word, said):
    with pytest.raises(config.BadRequest, match=said):
        config.overlaid(RUN_DATA, [word])


def test_other_images_where_those_of_the_run_lay_are_said(tmp_path):
    for at in range(4):
        Image.new("RGB", (8, 8), (at, 0, 0)).save(tmp_path / f"{at}.png")
    found = FolderSource(root=str(tmp_path), split="train", image_size=8)
    for fingerprint, lines in ((found.fingerprint(), 0), ("another", 1), (None, 0)):
        subject = Subject(None, 8, (0.5,) * 3, (0.5,) * 3, {"data": RUN_DATA}, fingerprint)
        said = []
        say_images(said.append, subject, [found], of_run=True)
        assert len(said) == lines
        say_images(said.append, subject, [found], of_run=False)
        assert len(said) == lines


@pytest.mark.parametrize(
    ("typed", "trained", "said"),
    [
        (None, [0, 4095], r"data.value_range=\[0,4095\], as RUN was trained"),
        ([0, 255], [0, 4095], r"read by \[0,255\], and RUN was trained by \[0,4095\]"),
        ([0, 4095], None, r"read by \[0,4095\], and RUN was trained by the range of their type"),
        ([0, 4095], [0.0, 4095.0], None),
        (None, None, None),
    ],
)
def test_images_are_read_by_the_range_of_the_model_or_the_difference_is_said(typed, trained, said):
    node = {"_target_": "ssl_patches.data.FolderSource", "root": "x", "value_range": typed}
    cfg = {"data": {key: value for key, value in node.items() if value is not None}, "model": "RUN"}
    subject = Subject(torch.nn.Identity(), 32, [0.5] * 3, [0.5] * 3, {}, stored_range=trained)
    data, _ = chosen_data(cfg, subject, config_dirs=())
    assert data.get("value_range") == (typed or trained)
    (line,) = range_told(cfg["data"], data, subject, "RUN") or [None]
    assert line is None if said is None else re.search(said, line)
