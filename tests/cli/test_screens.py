"""The last screen of a run says what it reached, where it lies, and what to type next."""

from __future__ import annotations

import json

import pytest

from ssl_patches.cli.screens import last_screen

ROW = {"model": "trained", "data": "d", "metric": "knn20_top1", "value": 51.25, "low": 50.0}
SUMMARY = {
    "results": [ROW | {"high": 52.5, "n": 100}],
    "budget_used": {"images": 12800, "flops": 2.5e12, "seconds": 61.0},
    "images_per_second": 209.8,
    "task": "jigsaw",
}


def test_it_names_results_cost_and_the_next_commands(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    screen = last_screen(tmp_path)
    assert "12,800 images in 61 s (210 images/s), 2.5 TFLOP" in screen
    assert "knn20_top1" in screen
    assert f"ssl-patches evaluate model={tmp_path} " in screen
    assert f"ssl-patches compare {tmp_path.parent}" in screen


def test_without_results_there_is_no_table(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY | {"results": []}))
    assert "knn" not in last_screen(tmp_path)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_next_step_asks_for_labelled_images_only_where_there_were_none(labelled, tmp_path):
    summary = SUMMARY if labelled else SUMMARY | {"results": []}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    screen = last_screen(tmp_path)
    assert ("LABELLED_IMAGES" in screen) is not labelled
    assert ("probes=[layers,lowshot]" in screen) is labelled


@pytest.mark.parametrize(("path", "typed"), [("s3://bucket/shards", True), ("shards", False)])
def test_an_address_is_typed_again_in_the_next_step(path, typed, tmp_path):
    words = ["task=jigsaw", "data=shards", f"data.path={path}", "data.storage_options={anon: true}"]
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY | {"words": words}))
    screen = last_screen(tmp_path)
    assert (f"data.path={path} 'data.storage_options={{anon: true}}'" in screen) is typed


def test_a_run_that_is_not_finished_has_none(tmp_path):
    with pytest.raises(ValueError, match="not finished"):
        last_screen(tmp_path)


@pytest.mark.parametrize(("task", "remedy"), [("jigsaw", "no task is typed"), ("agree", "longer")])
def test_a_run_that_did_not_help_says_so_and_what_to_try(tmp_path, task, remedy):
    floor = ROW | {"model": "random_init", "high": 52.5, "n": 100}
    summary = SUMMARY | {"task": task, "results": [*SUMMARY["results"], floor]}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    screen = last_screen(tmp_path)
    assert "It did not help yet: knn20_top1 51.2 [50.0, 52.5] is not told from random" in screen
    assert remedy in screen
