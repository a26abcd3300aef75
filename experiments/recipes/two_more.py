"""Ask whether averaged weights help, and whether small views first and whole ones later do.

    python experiments/recipes/two_more.py DATA/cifar_dev OUT

``small_photographs`` at 1e13 FLOPs in all, three seeds, on what ``hold_out.py`` laid out. Given
again it goes on. Prints means and 95 % t-intervals; rows are kept in OUT/two_more.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

import ssl_patches
from ssl_patches.cli import main

SEEDS = (0, 1, 2)
METRICS = ("knn20_top1", "linear_top1")
SMALL = ("views.large=0", "views.small=2", "views.small_size=16", "views.small_scale=[0.2,1.0]")
TOTAL, FIRST = 1e13, 0.7  # FLOPs, and the share of small views where they come first


def train(data: str, run: Path, seed: int, flops: float, *words: str) -> Path:
    """Train one run, or go on with it."""
    recipe = ["experiment=small_photographs", "data=cifar10", f"data.root={data}", f"seed={seed}"]
    end = ["evaluation=none", "callbacks=none", f"budget.flops={flops:g}", f"run_dir={run}"]
    if not (run / "summary.json").is_file():
        again = ["resume=true"] if (run / "checkpoints").is_dir() else []
        if main(["pretrain", *recipe, *end, *words, *again]):
            raise SystemExit(f"{run}: was not trained")
    return run


def averaged(run: Path) -> Path:
    """Export the average of a run beside what was trained."""
    export = run.with_name(f"{run.name}-averaged")
    if not export.exists() and main(["export", f"model={run}", "weights=ema", f"output={export}"]):
        raise SystemExit(f"{export}: was not exported")
    return export


def encoders(data: str, out: Path, seed: int) -> Iterator[tuple[str, Path]]:
    """Train what is compared, and give each encoder its name."""
    for decay in (0.95, 0.99):
        run = train(data, out / f"average{decay}-{seed}", seed, TOTAL, f"trainer.ema={decay}")
        if decay == 0.95:
            yield "the recipe", run
        yield f"its weights averaged, trainer.ema={decay}", averaged(run)
    low = train(data, out / f"low-{seed}", seed, FIRST * TOTAL, *SMALL)
    yield f"crops of 16 px alone, {FIRST:.0%} of the FLOPs", low
    rest = f"encoder.pretrained={low / 'encoder'}"
    yield (
        "and then of 32 px for the rest",
        train(data, out / f"later-{seed}", seed, (1 - FIRST) * TOTAL, rest),
    )


def measured(data: str, model: Path) -> dict[str, float]:
    """Evaluate an encoder on the held-out side."""
    rows = ssl_patches.evaluate(model=model, data=data, precision="fp32", say=lambda _: None)
    wanted = [row for row in rows if row.model == "trained" and row.metric in METRICS]
    return {row.metric: row.value for row in wanted}


def said(values: list[float]) -> str:
    """Say a mean and its interval."""
    mean, half = np.mean(values), stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{mean:.1f} [{mean - half:.1f}, {mean + half:.1f}]"


def compare(data: str, out: Path) -> None:
    """Train, evaluate and print."""
    kept = out / "two_more.json"
    out.mkdir(parents=True, exist_ok=True)
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    for seed in SEEDS:
        for name, model in encoders(data, out, seed):
            if str(seed) not in found.setdefault(name, {}):
                found[name][str(seed)] = measured(data, model)
                kept.write_text(json.dumps(found, indent=1))
    print("| | kNN (k = 20) | linear |\n|---|---|---|")
    for name, seeds in found.items():
        cells = [said([seeds[str(seed)][metric] for seed in SEEDS]) for metric in METRICS]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    compare(sys.argv[1], Path(sys.argv[2]))
