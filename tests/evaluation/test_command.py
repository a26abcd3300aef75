"""``ssl-patches evaluate`` on a run: what it leaves, and two encoders on the same images."""

import json

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


def test_what_cannot_be_asked_is_refused_before_an_image_is_read(finished_run, capsys):
    for word, said in (
        ("probes=[lnear]", "did you mean 'linear'"),
        ("labels=tags", "labels=tags"),
        ("output=nowhere/a.npz", "there is no folder nowhere"),
        ("against=nowhere", "against=nowhere: no such folder"),
    ):
        capsys.readouterr()
        assert main(["evaluate", f"model={finished_run}", word]) == 2
        assert said in capsys.readouterr().err
