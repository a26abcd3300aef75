"""Which runs repeat each other, and which must not be mixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_patches.studies.compare.comparison import compare_runs


def entries(place: Path, **asked) -> dict[str, int]:
    return {entry.name: len(entry.seeds) for entry in compare_runs([place], **asked).entries}


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


def test_a_note_names_the_first_of_many_and_counts_the_others(write_run, tmp_path):
    for number in range(1, 8):
        words = (f"budget.images={number}000",)
        write_run(tmp_path / f"a{number}", *words, seed=number, linear_top1=30.0)
    (note,) = [note for note in compare_runs([tmp_path]).notes if note.startswith("budgets")]
    named = ", ".join(f"budget.images={number}000" for number in (1, 2, 3, 4))
    assert note.startswith(f"budgets differ ({named}, and 3 more): ")
