"""Train ours and a continued MobileNetV2 for some seeds, and hold both against others by labels.

    python experiments/worth_it/run.py DATA RUNS elpv|cifar10|camvid [SEEDS] [FLOPS] [KEY=VALUE ...]

Finished runs and finished cells of the tables are kept, so the command goes on where it was ended.
It writes results/SET.csv beside this file: the rows of every seed. first=K makes only seeds from K
on, and keeps the rows of those before, which another day made. KEY=VALUE goes to evaluate;
continued=no leaves the continued MobileNetV2 out, trained=SEEDS says for how many seeds encoders
are also trained on from the labels, and from random weights (1; each is minutes to an hour).
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLASSES = ["probes=[label_efficiency]", "precision=fp32", "label_efficiency.labels=[5,10,50]"]
FEW = ["label_efficiency.labels=[10,50]", "label_efficiency.tuned_draws=1"]
FEW += ["label_efficiency.trials=2", "label_efficiency.columns=[linear,finetune,scratch]"]
"""Of the trained columns: two numbers of labels and all, one draw, two settings for everyone."""
NEAR = ("views=near_crops", "views.large=0", "views.small=2", "views.small_scale=[0.06,0.25]")
ANEW = "encoder.fixed_statistics=false"
"""Statistics of BatchNorm are measured on these images, as when these two sets were run."""
SETS = {
    "elpv": {
        # small crops of one place at the size of the file: a crack is a pixel wide
        "ours": ["experiment=aerial", "data.batch_size=64", *NEAR, "views.small_size=64"],
        "on": ["data.batch_size=64", *NEAR, "views.small_size=96", "budget.epochs=3", ANEW],
        "data": ["data=folder", "data.root={data}/elpv"],
        "size": 128,
        "rival_size": 128,
        "flops": 4e13,
        "tuned_rivals": True,
        "table": [*CLASSES, "label_efficiency.metric=balanced", "label_efficiency.draws=20"],
    },
    "cifar10": {
        "ours": ["experiment=small_photographs"],
        "on": ["data.batch_size=64", "image_size=96", "budget.epochs=null", "budget.images=6400"],
        "data": ["data=cifar10", "data.root={data}/cifar10"],
        "size": 32,
        "rival_size": 96,  # off the shelf it wants larger images
        "flops": 2e13,
        "tuned_rivals": True,
        "table": [*CLASSES, "train_images=5000", "test_images=2000"],
    },
    "camvid": {
        "ours": ["experiment=street_maps"],
        "on": [
            *NEAR,
            *("views.small_size=64", "sampler=tokens", "task.positions=true"),
            *("data.batch_size=32", "budget.epochs=3", ANEW),
        ],
        "data": ["data=camvid", "data.root={data}/camvid"],
        "size": 128,
        "rival_size": 512,  # its stride is 32: as many positions as ours have at 128 px
        "flops": 2e13,
        "tuned_rivals": False,  # at 512 px each would take hours
        "table": [*CLASSES[:2], "label_efficiency.labels=[10,50]", "label_efficiency.draws=3"],
    },
}


def ssl_patches(*words: str) -> None:
    """Run a command of the package."""
    subprocess.run([sys.executable, "-m", "ssl_patches", *words], check=True)


def of_each_key(words: list[str]) -> list[str]:
    """Keep the last word of a key that is given twice."""
    return list({word.split("=")[0]: word for word in words}.values())


def trained(run: Path, words: list[str]) -> Path:
    """Pretrain a run unless it is finished; one that was killed goes on."""
    if not (run / "summary.json").is_file():
        words = [*words, f"run_dir={run}", f"resume={str(run.is_dir()).lower()}"]
        ssl_patches("pretrain", *of_each_key(words))
    return run


def main(
    data: Path,
    runs: Path,
    name: str,
    seeds: int = 3,
    flops: float | None = None,
    asked: Sequence[str] = (),
) -> None:
    """Make the runs and the tables of one data set; ``asked``: more words for evaluate."""
    chosen, weights = SETS[name], data / "mobilenet_v2.pth"
    images = [word.format(data=data) for word in chosen["data"]]
    images += ["data.num_workers=0"]
    common = [*images, f"image_size={chosen['size']}", "evaluation=none"]  # the table evaluates
    asks = [word for word in asked if not word.startswith(("continued=", "trained=", "first="))]
    tuned_seeds = next((int(w[8:]) for w in asked if w.startswith("trained=")), 1)
    first = next((int(w[6:]) for w in asked if w.startswith("first=")), 0)
    rows = []
    for seed in range(first, seeds):
        rest = [*common, f"budget.flops={flops or chosen['flops']:g}", f"seed={seed}"]
        ours = trained(runs / f"{name}_ours_{seed}", [*chosen["ours"], *rest])
        rivals = [f"mobilenetv2_100@{weights}"]
        if "continued=no" not in asked:
            go_on = ["experiment=go_on", "encoder.name=mobilenetv2_100", *common, *chosen["on"]]
            go_on += [f"encoder.pretrained={weights}", f"seed={seed}"]
            rivals.append(str(trained(runs / f"{name}_continued_{seed}", go_on)))
        words = [f"rival_size={chosen['rival_size']}", *chosen["table"], *asks]
        if len(rivals) > 1:  # the continued one beside the one that it was
            alike = [f"rivals=[{rivals[0]}]", f"rival_size={size_of(rivals[1])}"]
            found = table(Path(rivals[1]), [*words, *alike], seed, "continued")
            rows += [row for row in found if "difference" in row]
        rows += table(ours, [*words, f"rivals=[{','.join(rivals)}]"], seed)
        if seed < tuned_seeds:
            tuned = rivals if chosen["tuned_rivals"] else []
            found = table(ours, [*words, *FEW, f"rivals=[{','.join(tuned)}]"], seed)
            rows += [row for row in found if column_of(row) != "linear"]
    save(name, [row for row in rows if "metric" in row], first)
    save(f"{name}_pairs", [row for row in rows if "difference" in row], first)


def size_of(run: str) -> int:
    """Return the side in pixels at which a run's encoder sees whole images."""
    config = json.loads((Path(run) / "encoder" / "config.json").read_text())
    return int(config["pretrained_cfg"]["input_size"][-1])


def table(run: Path, words: list[str], seed: int, name: str = "ours") -> list[dict]:
    """Evaluate by the number of labels and return the rows and pairs; what is done is read."""
    ssl_patches("evaluate", f"model={run}", *of_each_key(words))
    found = json.loads((run / "label_efficiency.json").read_text())
    print("\n".join(found["report"]), flush=True)
    return rows_of(found, seed, name)


def rows_of(found: dict, seed: int, name: str) -> list[dict]:
    """Return the rows of a table, and its pairs, with their seed; a continued run is called so.

    ``name``: of the model in question, in pairs.
    """
    rows = [{"seed": seed, **row} for row in found["rows"]]
    rows += [{"seed": seed, "of": name, **row} for row in found["differences"]]
    for row in rows:
        model = "model" if "model" in row else "other"
        row[model] = "continued" if "_continued_" in row[model] else row[model]
    return rows


def column_of(row: dict) -> str:
    """Return which probe a row, or a pair, is of."""
    return row["column"] if "column" in row else row["metric"].split("_")[1]


def save(name: str, rows: list[dict], first: int) -> None:
    """Write the rows to results/NAME.csv, after those that it has of earlier seeds."""
    (HERE / "results").mkdir(exist_ok=True)
    path, before = HERE / "results" / f"{name}.csv", []
    if first:
        with path.open(newline="") as file:
            before = [row for row in csv.DictReader(file) if int(row["seed"]) < first]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows([*before, *rows])


if __name__ == "__main__":
    place, folder, which, *more = [word for word in sys.argv[1:] if "=" not in word]
    main(
        Path(place).resolve(),
        Path(folder).resolve(),
        which,
        seeds=int(more[0]) if more else 3,
        flops=float(more[1]) if len(more) > 1 else None,
        asked=[word for word in sys.argv[1:] if "=" in word],
    )
