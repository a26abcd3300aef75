"""``ssl-patches evaluate`` on a run: what it leaves, and two encoders on the same images."""

import json

import numpy as np
from PIL import Image

from ssl_patches.cli import main
from ssl_patches.evaluation import PROTOCOL, Record

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


def test_results_are_said_where_the_record_cannot_be_written(
    finished_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    def full(record, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Record, "save", full)
    words = ["evaluate", f"model={finished_run}", *LIMITS, "probes=[knn]", "output=one.npz"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "knn20_top1" in said
    assert "output=one.npz: cannot be written (No space left on device)" in said


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


def test_help_says_what_probes_are_and_where_more_are_listed(capsys):
    assert main(["evaluate", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in ("knn", "linear", "finetune", "roles"))
    assert "ssl-patches list probes" in said
