"""Words of a study become runs with keys, and what is filled in is what composing gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from small import SMALL

from ssl_patches.data import build as build_data
from ssl_patches.studies import design, jobs, planning
from ssl_patches.studies.compositions import with_budget_as_before


def planned(folder: Path, *words: str) -> jobs.Plan:
    return planning.plan(design.read_study(folder, words), folder / "out")


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


def test_runs_that_were_begun_with_another_form_of_the_budget_go_on(tiny_study):
    """Amounts of all runs but the first were written 64.0 where composing gives 64."""
    folder = tiny_study(base=[*SMALL, "callbacks=none"], budget=None)
    new = planned(folder).runs[1].choices[0]
    cfg = with_budget_as_before(new.cfg)
    train, val = (build_data.source(cfg, split, whole=False) for split in ("train", "val"))
    prints = [train.fingerprint(), val.fingerprint(), train.label_key(), val.label_key()]
    key = jobs.run_key(cfg, " ".join(filter(None, prints)))
    assert key != new.key
    (folder / "out" / "cells" / f"{new.name}-{key[:8]}").mkdir(parents=True)
    found = planned(folder).runs[1].choices[0]
    assert (found.key, found.place) == (key, f"cells/{new.name}-{key[:8]}")


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
