"""Print the table of seeds that were trained on different days, from the rows that each day left.

    python experiments/tasks_cifar10_1e14/table.py experiments/tasks_cifar10_1e14/results/*.csv

Each file is a ``results.csv`` of ``compare``. Brackets are 95 % t-intervals over seeds; with one
seed there are none. The last column is kNN above the random weights of the same seed, paired.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import stats

METRICS = ("linear_top1", "knn20_top1")
Values = dict[int, float]


def read(paths: list[str]) -> dict[tuple[str, str, str], Values]:
    """Read (task and encoder, model, metric) -> seed -> value."""
    found: dict[tuple[str, str, str], Values] = defaultdict(dict)
    for path in paths:
        with Path(path).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                which = (f"{row['task']} {row['encoder']}", row["model"], row["metric"])
                if row["metric"] in METRICS and row["seed"]:
                    found[which][int(row["seed"])] = float(row["value"])
    return found


def said(values: list[float]) -> str:
    """Say a mean, and its interval where there are two or more."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.1f}"
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{mean:.1f} [{mean - half:.1f}, {mean + half:.1f}]"


def main(paths: list[str]) -> None:
    """Print the table as Markdown."""
    found = read(paths)
    print("| | seeds | linear | kNN (k = 20) | random weights | kNN above those |")
    print("|---|---|---|---|---|---|")
    for run in sorted({which[0] for which in found if which[1] == "trained"}):
        linear, knn = (found[run, "trained", metric] for metric in METRICS)
        floors = [found[run, "random_init", metric] for metric in METRICS]
        above = [knn[seed] - floors[1][seed] for seed in knn if seed in floors[1]]
        cells = [said([*linear.values()]), said([*knn.values()])]
        cells.append(", ".join(f"{np.mean([*floor.values()]):.1f}" for floor in floors))
        print(f"| {run} | {len(knn)} | {' | '.join(cells)} | {said(above)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
