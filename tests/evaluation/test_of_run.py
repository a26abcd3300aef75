"""At the end of a run its export is measured on its own images, as far as these allow."""

from ssl_patches.evaluation.of_run import evaluate_run
from ssl_patches.export import read_card


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
