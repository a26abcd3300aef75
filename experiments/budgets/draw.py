"""Draw accuracy against FLOPs: our studies, and what others published at more.

``python experiments/budgets/draw.py`` reads results.csv of the studies named in ``STUDIES`` and
``published.csv``, and writes ``results/budgets.png`` beside this file.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).resolve().parent
STUDIES = ("budgets", "agree_cifar10", "long_cifar10", "agree_imagenette", "tasks_cifar10")
METRICS = {"linear": "linear_top1", "knn20": "knn20_top1"}
NAMES = {"linear": "linear probe", "knn20": "20 nearest neighbours"}
TITLES = {"cifar10": "CIFAR-10", "imagenette160": "Imagenette"}
OURS = {"agree": "#0b6e4f", "position": "#3465a4", "masked": "#a0522d"}
"""Tasks that are drawn, and their colours."""


def ours() -> dict[tuple[str, str, str], dict[float, list[float]]]:
    """Return (data, metric, task) -> FLOPs, two digits -> values over seeds."""
    found: dict[tuple[str, str, str], dict[float, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for study in STUDIES:
        path = HERE.parent / study / "results" / "results.csv"
        for row in csv.DictReader(path.open()) if path.exists() else ():
            if row["model"] == "trained" and row["task"] in OURS:
                flops = float(f"{float(row['flops']):.1e}")
                found[row["data"], row["metric"], row["task"]][flops].append(float(row["value"]))
    return found


def main() -> None:
    """Write the figure: a column per data set, a row per metric."""
    published = list(csv.DictReader((HERE / "published.csv").open()))
    measured = ours()
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), sharex=True, constrained_layout=True)
    for column, data in enumerate(TITLES):
        for line, (metric, name) in enumerate(METRICS.items()):
            axis = axes[line][column]
            others = [row for row in published if (row["data"], row["metric"]) == (data, metric)]
            for row in others:
                axis.plot(float(row["flops"]), float(row["value"]), "o", color="0.65", markersize=5)
                axis.annotate(
                    row["method"],
                    (float(row["flops"]), float(row["value"])),
                    textcoords="offset points",
                    xytext=(6, -3),
                    fontsize=7,
                    color="0.35",
                )
            for task, colour in OURS.items():
                points = sorted(measured.get((data, name, task), {}).items())
                axis.plot(
                    [flops for flops, _ in points],
                    [mean(values) for _, values in points],
                    "-s",
                    color=colour,
                    markersize=5,
                    label=f"{task} (ours, mean of seeds)",
                )
            axis.set_xscale("log")
            axis.set_xlim(5e12, 1e18)
            axis.set_ylim(20, 95)
            axis.set_title(f"{TITLES[data]}, {NAMES[metric]}", loc="left", fontsize=10)
            axis.set_ylabel("top-1 accuracy, %")
            axis.grid(alpha=0.25)
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
    for axis in axes[1]:
        axis.set_xlabel("FLOPs of pretraining, forward and backward")
    axes[0][0].legend(loc="lower right", fontsize=8, frameon=False)
    figure.savefig(HERE / "results" / "budgets.png", dpi=130)


if __name__ == "__main__":
    main()
