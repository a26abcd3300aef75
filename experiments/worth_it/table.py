"""Print the table of a data set over its seeds, and how far ours lies above each other encoder.

    python experiments/worth_it/table.py experiments/worth_it/results/NAME.csv

It reads NAME_pairs.csv beside it. A value is the mean over seeds of what each seed's encoder has;
brackets are 95 % t-intervals over seeds, of which an encoder that no seed changes has none. A
difference is called clear where the interval of *every* seed, which holds draws and test images,
lies on one side of 0.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import stats

NAMES = {"trained": "ours", "random_init": "random weights", "raw_pixels": "raw pixels"}


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mean_of(values: list[float]) -> str:
    """Say a mean, and its interval over seeds where they differ."""
    found = f"{np.mean(values):.1f}"
    if len(values) < 2 or np.ptp(values) < 1e-9:
        return found
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{found} [{np.mean(values) - half:.1f}, {np.mean(values) + half:.1f}]"


def table(rows: list[dict[str, str]]) -> list[str]:
    """Lay out one line per model and column, numbers of labels across."""
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        labels, column, _ = row["metric"].split("_", 2)
        values[column, row["model"]][labels.removeprefix("labels")].append(float(row["value"]))
    numbers = list(dict.fromkeys(number for found in values.values() for number in found))
    lines = [f"| | {' | '.join(numbers)} |", f"|---|{'---|' * len(numbers)}"]
    for (column, model), found in sorted(values.items(), key=lambda item: item[0][0]):
        cells = (mean_of(found[number]) if number in found else "" for number in numbers)
        lines.append(f"| {column}: {NAMES.get(model, model)} | {' | '.join(cells)} |")
    return lines


def pairs(rows: list[dict[str, str]]) -> list[str]:
    """Say how far ours, and the continued one, are above each other encoder, seed by seed."""
    found: dict[tuple[str, ...], list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows:
        bounds = (float(row["difference"]), float(row["low"]), float(row["high"]))
        found[row["of"], row["column"], row["labels"], row["other"]].append(bounds)
    lines = []
    for (of, column, labels, other), each in found.items():
        above, below = all(low > 0 for _, low, _ in each), all(high < 0 for *_, high in each)
        said = "clear" if above or below else "not told apart by every seed"
        shown = ", ".join(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" for mean, low, high in each)
        lines.append(
            f"{column}, {labels} labels: {of} less {NAMES.get(other, other)} {shown}: {said}"
        )
    return lines


def main(path: Path) -> None:
    """Print both."""
    print("\n".join(table(read(path))))
    print()
    print("\n".join(pairs(read(path.with_name(f"{path.stem}_pairs.csv")))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
