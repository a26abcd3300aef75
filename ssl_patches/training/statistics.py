"""Decide what the pixels of a run are normalised by, as numbers, before it is built.

What is stated counts (``data.statistics``), and ``measured`` is measured. Where nothing is stated,
weights to go on from (``encoder.pretrained``) bring the mean and deviation that they were trained
with, for they are what the first layer expects; otherwise they are ImageNet's. A run that is
resumed keeps what it had.

The trap: a difference that nobody sees. Weights that were trained with another normalisation than
the stated one still train, only worse; it is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.run_dir import CONFIG
from ssl_patches.config.schema import channels_of
from ssl_patches.data import build as build_data
from ssl_patches.data.live import Datasets
from ssl_patches.encoders.prepared import PreparedFor, prepared_for

CLOSE = 1e-3  # of a share 0..1; as good as the same


def with_statistics(
    cfg: Mapping[str, Any], *, sources: Datasets | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return ``cfg`` with the statistics that the run normalises by, and lines on where they are
    from.

    ``sources``: as for ``data.build.source``. ValueError where they cannot be measured.
    """
    kept = _of_resumed(cfg)
    if kept is not None:
        return _with(cfg, kept.get("statistics")), []
    weights = cfg["encoder"].get("pretrained")
    found = prepared_for(weights, str(cfg["encoder"].get("name"))) if weights else None
    taken = None
    if found is not None and cfg["data"].get("statistics") is None:
        mean, std = found.of(channels_of(cfg))
        if not _same(build_data.pixel_statistics(cfg), (mean, std)):
            taken = {"mean": mean, "std": std}
            cfg = _with(cfg, taken)
    cfg = build_data.with_measured_statistics(cfg, sources=sources)
    return cfg, [] if found is None else _told(cfg, found, taken is not None)


def _with(cfg: Mapping[str, Any], statistics: Any) -> dict[str, Any]:
    if statistics is None:
        return dict(cfg)
    return {**cfg, "data": {**cfg["data"], "statistics": statistics}}


def _of_resumed(cfg: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the data of the run that is gone on with, where its numbers are to be taken."""
    if not (cfg.get("resume") and cfg.get("run_dir")):
        return None
    place = Path(cfg["run_dir"]) / CONFIG
    if cfg["data"].get("statistics") not in (None, "measured") or not place.is_file():
        return None
    try:
        before = config.load(place)["data"]
    except (BadRequest, KeyError, TypeError):  # told where the run is resumed
        return None
    return before if isinstance(before, Mapping) else None


def _told(cfg: Mapping[str, Any], found: PreparedFor, taken: bool) -> list[str]:
    """Say whose numbers are used, and what is not as the weights had it."""
    word = f"encoder.pretrained={_said(cfg['encoder']['pretrained'])}"
    own, theirs = build_data.pixel_statistics(cfg), found.of(channels_of(cfg))
    lines = []
    if taken:
        lines.append(
            f"data.statistics: mean {_shown(theirs[0])}, std {_shown(theirs[1])}, those of {word}"
            " (data.statistics=imagenet takes ImageNet's)"
        )
    elif not _same(own, theirs):
        lines.append(
            f"{word} was trained with mean {_shown(theirs[0])}, std {_shown(theirs[1])}, and this"
            f" run normalises by {_shown(own[0])}, {_shown(own[1])}; leave data.statistics out to"
            " take theirs"
        )
    now = cfg["data"].get("value_range")
    if found.stored_range is not None and list(now or ()) != list(found.stored_range):
        low, high = found.stored_range
        lines.append(
            f"{word} was trained with data.value_range=[{low:g},{high:g}], and this run has"
            f" {list(now) if now else 'none'}"
        )
    return lines


def _same(one: Any, other: Any) -> bool:
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a, b, strict=True)]
    return all(abs(a - b) <= CLOSE for a, b in pairs)


def _shown(values: Any) -> str:
    return "/".join(f"{value:.3f}" for value in values)


def _said(weights: Any) -> str:
    return "true" if weights is True else str(weights)
