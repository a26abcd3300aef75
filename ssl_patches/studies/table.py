"""Runs side by side in one table: on the terminal, as Markdown, as long-form CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.run_dir import CONFIG, SUMMARY, write_text

FLOORS = ("random_init", "raw_pixels")
METRICS = ("knn20_top1", "linear_top1")
NEEDED = ("data", "task", "encoder", "results", "budget_used", "data_fingerprint", "images_per_second")
COLUMNS = ("run", "data", "task", "encoder", "kNN", "linear", "images", "images/s", "seconds", "TFLOP", "encoder lies in")


def compare(places: Sequence[Path], *, as_json: bool = False, markdown: bool = False, csv_path: Path | None = None) -> int:
    """Prints the table of all runs below ``places``. ValueError when there is none."""
    if not places:
        raise ValueError("compare: give runs or folders of runs, e.g. ssl-patches compare runs")
    if csv_path is not None and not csv_path.parent.is_dir():
        raise ValueError(f"--csv={csv_path}: there is no folder {csv_path.parent}; make it, or give another FILE")
    runs, broken = find_runs(places)
    for path, reason in broken:
        print(f"left out {path}: {reason}", file=sys.stderr)
    if not runs:
        raise ValueError(
            f"compare {' '.join(map(str, places))}: no finished run below; name a run_dir with {SUMMARY}, or a folder of them"
        )
    rows = []
    for path, run in runs:
        rows += [{"run": str(path), "task": run["task"], "encoder": run["encoder"], **row} for row in run["results"]]
    if csv_path is not None:
        write_text(csv_path, _csv(rows))
    if as_json:
        print(json.dumps(rows))
    else:
        print(render(lines_of(runs), markdown=markdown))
    return 0


def find_runs(places: Sequence[Path]) -> tuple[list[tuple[Path, dict[str, Any]]], list[tuple[Path, str]]]:
    """Finished runs at or below ``places``, sorted by path, and those left out with the reason."""
    found, broken = [], []
    for place in places:
        if not place.is_dir():
            raise ValueError(f"compare {place}: no such folder; give a run_dir, or a folder that holds some")
        for config in sorted(place.rglob(CONFIG)):
            summary = config.parent / SUMMARY
            try:
                content = json.loads(summary.read_text(encoding="utf-8"))
                found.append((config.parent, {key: content[key] for key in NEEDED}))
            except FileNotFoundError:
                broken.append((config.parent, "not finished"))
            except (ValueError, KeyError) as error:
                broken.append((config.parent, f"{SUMMARY} cannot be read ({type(error).__name__}: {error})"))
    return found, broken


def lines_of(runs: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[tuple[str, ...]]:
    """One line per run, then the floors: one line for each (floor, encoder, data), which runs share."""
    lines, floors = [], {}
    for path, run in runs:
        used = run["budget_used"]
        values = [_value(run["results"], "trained", metric) for metric in METRICS]
        lines.append(
            (path.name, run["data"], run["task"], run["encoder"], *values, f"{used['images']:,}",
             f"{run['images_per_second']:.0f}", f"{used['seconds']:.0f}", f"{used['flops'] / 1e12:.1f}", str(path / "encoder"))
        )  # fmt: skip
        for floor in FLOORS:
            encoder = run["encoder"] if floor == "random_init" else "-"
            values = tuple(_value(run["results"], floor, metric) for metric in METRICS)
            if any(value != "-" for value in values):
                floors[(floor, encoder, run["data_fingerprint"], values)] = (
                    floor,
                    run["data"],
                    "-",
                    encoder,
                    *values,
                    *["-"] * 5,
                )
    return lines + sorted(floors.values())


def render(lines: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    if markdown:
        rows = [COLUMNS, ["---"] * len(COLUMNS), *lines]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    widths = [max(map(len, column)) for column in zip(COLUMNS, *lines, strict=True)]
    rows = [COLUMNS, ["-" * width for width in widths], *lines]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _value(rows: Sequence[Mapping[str, Any]], model: str, metric: str) -> str:
    for row in rows:
        if row["model"] == model and row["metric"] == metric:
            return f"{row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
    return "-"


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    import io

    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["run"])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
