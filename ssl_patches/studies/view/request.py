"""Check what ``ssl-patches view`` was asked for; no torch, nothing of a run is read yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.schema import LOADER, SUPPLIED, VIEW

LEAST, MOST = 10, 20_000  # images of a map


@dataclass(frozen=True)
class ViewRequest:
    """What is to be seen, and how.

    ``cfg``: checked settings of conf/view.yaml; its ``data`` are images to see in place of the
    runs' own. ``changes``: data.KEY=VALUE for the data of the runs.
    """

    place: Path
    cfg: Mapping[str, Any]
    changes: Sequence[str] = ()
    config_dirs: Sequence[Path] = ()


def view_request(words: Sequence[str], *, config_dirs: Sequence[Path]) -> ViewRequest:
    """Return what was asked for. BadRequest with all that is wrong."""
    places = [word for word in words if "=" not in word or Path(word).exists()]
    rest, changes = config.without_data_keys([word for word in words if word not in places])
    data = {"data": LOADER} if any(word.startswith("data=") for word in rest) else {}
    wrong: list[str] = []
    if len(places) != 1:
        wrong = [
            f"view {' '.join(places)}".rstrip()
            + ": takes one run, study or folder of runs; give ssl-patches view RUN"
        ]
    elif not Path(places[0]).exists():
        wrong = [
            f"view {places[0]}: there is no such folder; `ssl-patches runs` lists those of runs"
        ]
    try:
        cfg = config.request(
            "view",
            rest,
            config_dirs=config_dirs,
            supplied={"data": SUPPLIED["data"]},
            schema={**VIEW, **data},
        )
    except BadRequest as error:
        raise BadRequest([*wrong, *error.problems], error.guess) from None
    rules = {
        "port": (0 <= cfg["port"] <= 65535, "0 to 65535", "0"),
        "seconds": (cfg["seconds"] is None or cfg["seconds"] > 0, "above 0", "null"),
        "images": (LEAST <= cfg["images"] <= MOST, f"{LEAST} to {MOST}", "2000"),
    }
    wrong += [
        f"{key}={cfg[key]}: must be {rule}; set {key}={good}"
        for key, (holds, rule, good) in rules.items()
        if not holds
    ]
    if wrong:
        raise BadRequest(wrong)
    return ViewRequest(Path(places[0]), cfg, changes, config_dirs)
