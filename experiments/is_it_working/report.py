"""python experiments/is_it_working/report.py OUT -> panel.png in OUT, and on the terminal what the
README quotes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ssl_patches.training.figures import draw_health
from ssl_patches.training.rows import Rows

RUNS = ("healthy", "touching", "learning_rate", "collapsed")
COLUMNS = (
    "held_out_loss",
    "held_out_accuracy",
    "effective_rank",
    "deviation",
    "mean_cosine",
    "alignment",
    "uniformity",
)


def main(out: Path) -> None:
    runs = {name: out / name for name in RUNS if (out / name / "summary.json").is_file()}
    draw_health(
        out / "panel.png", runs, title="One healthy and three sick runs, on held-out images"
    )
    print(
        f"| run | {' | '.join(COLUMNS)} | knn20_top1 |",
        f"|{' --- |' * (len(COLUMNS) + 2)}",
        sep="\n",
    )
    summaries = {
        name: json.loads((run / "summary.json").read_text(encoding="utf-8"))
        for name, run in runs.items()
    }
    for name, run in runs.items():
        last = Rows(run / "health.csv").read()[-1]
        knn = next(
            row
            for row in summaries[name]["results"]
            if row["model"] == "trained" and row["metric"] == "knn20_top1"
        )
        bounds = f"{knn['value']:.1f} [{knn['low']:.1f}, {knn['high']:.1f}]"
        print(f"| {name} | {' | '.join(f'{last[key]:.3g}' for key in COLUMNS)} | {bounds} |")
    for name, summary in summaries.items():
        print(f"\n{name}:")
        for alarm in summary["alarms"]:
            print(
                f"> **{alarm['name']}**, step {alarm['step']}: {alarm['says']}. Try:"
                f" {alarm['remedy']}"
            )
        if not summary["alarms"]:
            print("> no alarm")
        checks = Rows(runs[name] / "health.csv").read()
        spent = sum(row["check_seconds"] for row in checks)
        print(
            f"\n{len(checks)} checks, {spent:.0f} of {summary['budget_used']['seconds']:.0f} s of"
            " training"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
