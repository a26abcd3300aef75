"""Evaluate what a run has exported, at its end, on the run's own images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_patches.config.messages import Say
from ssl_patches.data import build as build_data
from ssl_patches.data.live import Datasets
from ssl_patches.data.masks import HasMasks
from ssl_patches.encoders.subject import open_model
from ssl_patches.evaluation.labels import kind_of, labelled
from ssl_patches.evaluation.one_model import record_of
from ssl_patches.evaluation.probes.table import GROUP, probes_named
from ssl_patches.evaluation.record import FILE


def evaluate_run(
    export: Path, cfg: Mapping[str, Any], *, say: Say, sources: Datasets | None = None
) -> list[dict[str, Any]]:
    """Evaluate the export of a run on the run's own data and return the rows.

    There are none, after saying so, when the data carry no labels. The record with predictions for
    every test image is left in the run directory.
    """
    cfg = {**cfg, "data": build_data.with_label_kind(cfg["data"], cfg["evaluation"]["labels"])}
    val = build_data.source(cfg, "val", whole=True, sources=sources)
    named = probes_named(cfg["evaluation"]["probes"], cfg["evaluation"].get(GROUP))
    probes = [
        name
        for name, probe in named.items()
        if _possible(probe.wants, val, cfg["evaluation"]["labels"])
    ]
    if missing := [name for name in named if name not in probes]:
        wants = " or ".join(sorted({named[name].wants for name in missing}))
        what = ", ".join(missing) if probes else "probes"
        say(f"no {wants}, so no {what}; `ssl-patches evaluate` takes a folder with them later")
    if not probes:
        return []
    subject = open_model(str(export), pretrained=True)
    floors = Path(cfg["run_dir"]).parent / ".floors"
    settings = {
        **cfg["evaluation"],
        "probes": probes,
        "precision": cfg["trainer"].get("precision", "fp32"),
    }
    figures, workers = Path(cfg["run_dir"]) / "figures", cfg["data"]["num_workers"]
    record = record_of(
        subject,
        cfg["data"],
        settings,
        floors=floors,
        figures=figures,
        num_workers=workers,
        allowed=None,
        say=say,
        sources=sources,
    )
    record.save(Path(cfg["run_dir"]) / FILE)
    return [row.as_dict() for row in record.rows]


def _possible(wants: str, source: Any, labels: str) -> bool:
    """Whether a source has what a probe wants."""
    if wants == "labels":
        return bool(labelled(source.labels, kind_of(source.labels, labels)).any())
    return wants == "images" or isinstance(source, HasMasks)
