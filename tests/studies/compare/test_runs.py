"""Which runs are read, which are skipped and why, which are repetitions of each other, which must
not be mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ssl_patches.studies.compare.comparison import compare_runs, estimate
from ssl_patches.studies.compare.runs import find_runs


def entries(place: Path, **asked) -> dict[str, int]:
    return {entry.name: len(entry.seeds) for entry in compare_runs([place], **asked).entries}


def edit(run: Path, **changes) -> Path:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, **changes}))
    return run


def test_runs_that_differ_in_the_seed_alone_are_one_entry_and_floors_have_seeds_too(study):
    assert entries(study) == {"masked": 3, "jigsaw": 3, "raw_pixels": 3, "random_init": 3}
    comparison = compare_runs([study])
    masked, _, raw, random_init = comparison.entries
    assert masked.sample("linear_top1").values == (40.0, 41.0, 42.0)
    assert random_init.sample("linear_top1").values == (20.0, 21.0, 22.0)
    assert raw.sample("linear_top1").fixed
    assert estimate(masked, "linear_top1").over == "seeds"


def test_what_else_differs_splits_and_names_an_entry_and_derived_keys_do_not(write_run, tmp_path):
    for seed in range(2):
        write_run(tmp_path / f"a{seed}", seed=seed, linear_top1=30.0)
        write_run(
            tmp_path / f"b{seed}",
            "views=none",
            "data.num_workers=3",
            "trainer.log_every=7",
            seed=seed,
            linear_top1=31.0,
        )
        write_run(
            tmp_path / f"c{seed}",
            "views=none",
            "optimizer.base_lr=3e-3",
            seed=seed,
            linear_top1=32.0,
        )
    found = [name for name in entries(tmp_path) if name.startswith("jigsaw")]
    assert found == [
        "jigsaw optimizer.base_lr=0.003 views=Whole",
        "jigsaw views=Whole",
        "jigsaw views=CropFlip",
    ]


def test_the_same_seed_twice_is_no_second_draw(study, write_run):
    write_run(study / "again", task="masked", seed=2, linear_top1=44.0, knn20_top1=29.0)
    comparison = compare_runs([study])
    assert comparison.entries[0].sample("linear_top1").values == (40.0, 41.0, 43.0)
    assert any("masked: 1 of 4 runs repeat a seed" in note for note in comparison.notes)


def test_with_one_seed_there_is_no_statement_and_the_bounds_say_what_they_cover(
    write_run, tmp_path
):
    for task in ("jigsaw", "masked"):
        write_run(tmp_path / task, task=task, linear_top1=40.0 if task == "masked" else 10.0)
    comparison = compare_runs([tmp_path])
    assert [pair.sentence for pair in comparison.pairs("linear_top1")] == [
        "masked and jigsaw: one seed: no statement (30.0 points apart)"
    ]
    assert estimate(comparison.entries[0], "linear_top1").over == "images"
    assert not any(pair.decided for pair in comparison.against_floors("linear_top1"))


def test_every_damaged_run_is_left_out_with_its_reason_and_takes_no_other_with_it(study):
    def damaged(name: str) -> Path:
        return Path(shutil.copytree(study / "jigsaw-0", study / name))

    (damaged("b-half") / "summary.json").write_text('{"task": "jig')
    (damaged("b-empty") / "summary.json").write_text("")
    (damaged("b-list") / "summary.json").write_text("[]")
    (damaged("b-unfinished") / "summary.json").unlink()
    (damaged("b-config") / "config.yaml").write_text("a: [")
    edit(damaged("b-nan"), images_per_second=float("nan"))
    edit(
        damaged("b-rows"), results=[{"model": "trained", "metric": "linear_top1", "value": "good"}]
    )
    edit(damaged("b-spent"), budget_used={"images": 3})
    (study / "b-failed").mkdir()
    (study / "b-failed" / "error.txt").write_text(
        "Traceback ...\nValueError: task.k=9: must be less\n"
    )
    (study / "b-binary").mkdir()
    (study / "b-binary" / "config.yaml").write_bytes(b"\xff\xfe\x00")
    (study / "b-binary" / "summary.json").write_bytes(b"\xff\xfe\x00")
    runs, left_out = find_runs([study])
    assert len(runs) == 6
    reasons = {lost.path.name: lost.reason for lost in left_out}
    assert reasons.pop("b-unfinished") == "not finished"
    assert reasons.pop("b-failed") == "failed: ValueError: task.k=9: must be less"
    assert reasons.pop("b-config").startswith("config.yaml cannot be read")
    assert len(reasons) == 7
    assert all(reason.startswith("summary.json cannot be read") for reason in reasons.values())


def test_a_run_reached_by_two_names_counts_once_and_trials_and_notes_of_a_study_are_no_runs(study):
    shutil.copytree(study / "jigsaw-0", study / ".notes" / "old")
    shutil.copytree(study / "jigsaw-0", study / "tune" / "trial")
    (study / "tune" / "trial" / "trial.json").write_text("{}")
    (study / "link").symlink_to(study / "jigsaw-0")
    runs, left_out = find_runs([study, study / "jigsaw-0"])
    assert (len(runs), left_out) == (6, [])


OTHER = [  # what differs -> what the refusal says
    (
        {"fingerprint": "0" * 64},
        (),
        "data_fingerprint ffffffffffff in the first, 000000000000 in the second",
    ),
    (
        {},
        ("evaluation.train_images=32",),
        "evaluation.train_images 64 in the first, 32 in the second",
    ),
]


@pytest.mark.parametrize(("asked", "words", "said"), OTHER)
def test_other_data_or_another_protocol_is_refused_unless_told_then_marked_and_never_tested(
    study, write_run, asked, words, said
):
    write_run(
        study / "other", *words, task="relative", seed=0, linear_top1=50.0, knn20_top1=1.0, **asked
    )
    with pytest.raises(ValueError, match="runs of different data or protocol") as refusal:
        compare_runs([study])
    assert said in str(refusal.value)
    assert "--mixed" in str(refusal.value)
    comparison = compare_runs([study], mixed=True)
    assert {entry.name for entry in comparison.trained} == {
        "jigsaw [A]",
        "masked [A]",
        "relative [B]",
    }
    assert any(note.startswith("[B]") for note in comparison.notes)
    pairs = [*comparison.pairs("linear_top1"), *comparison.against_floors("linear_top1")]
    assert {(pair.first[-3:], pair.second[-3:]) for pair in pairs} == {
        ("[A]", "[A]"),
        ("[B]", "[B]"),
    }


def test_the_size_of_a_batch_of_the_evaluation_is_no_protocol(study, write_run):
    write_run(
        study / "other",
        "evaluation.batch_size=8",
        task="relative",
        seed=0,
        linear_top1=50.0,
        knn20_top1=1.0,
    )
    assert len(compare_runs([study]).trained) == 3


def test_unequal_budgets_are_said(study, write_run):
    assert any("FLOPs are not" in note for note in compare_runs([study]).notes)
    write_run(
        study / "more",
        "budget.images=9000",
        task="masked",
        seed=0,
        linear_top1=50.0,
        knn20_top1=1.0,
    )
    assert any(
        note.startswith("budgets differ (budget.images=2000, budget.images=9000)")
        for note in compare_runs([study]).notes
    )


def test_an_unknown_metric_and_a_folder_without_runs(study, tmp_path):
    with pytest.raises(
        ValueError, match=r"--metric linear_top: no run has it; did you mean 'linear_top1'\?"
    ):
        compare_runs([study], metric="linear_top")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no finished run below"):
        compare_runs([tmp_path / "empty"])
    assert compare_runs([study], metric="knn20_top1").entries[0].name == "masked"
