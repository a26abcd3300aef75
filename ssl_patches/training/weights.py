"""Decide which weights of the hub a run goes on from, as a commit, before anything is built.

``encoder.pretrained=hf-hub:USER/NAME`` means another commit as soon as somebody pushes. A run keeps
the one that it began with, in its ``config.yaml``, and whoever resumes it reads the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.hub_names import hub_name, is_on_hub
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.run_dir import CONFIG
from ssl_patches.encoders.hub import pinned


def with_pinned_weights(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``cfg`` with the commit in ``encoder.pretrained`` where that names a repository of the
    hub; a run that is resumed keeps what it had.

    ValueError where the hub does not say it.
    """
    word = cfg["encoder"].get("pretrained")
    if not is_on_hub(word):
        return dict(cfg)
    name, before = hub_name(word), _of_resumed(cfg)
    if before is not None and not name.exact and hub_name(before).repository == name.repository:
        word = before
    return {**cfg, "encoder": {**cfg["encoder"], "pretrained": pinned(word)}}


def _of_resumed(cfg: Mapping[str, Any]) -> str | None:
    """Return the repository and commit that the run which is gone on with has; None: none."""
    if not (cfg.get("resume") and cfg.get("run_dir")):
        return None
    place = Path(cfg["run_dir"]) / CONFIG
    if not place.is_file():
        return None
    try:
        before = config.load(place)["encoder"].get("pretrained")
    except (BadRequest, KeyError, TypeError, AttributeError):  # told where the run is resumed
        return None
    return before if is_on_hub(before) else None
