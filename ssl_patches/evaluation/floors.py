"""Keep the rows of the floors (random weights, raw pixels) on disk: they are the same in every run.

One JSON file per floor, named by the hash of all that its metrics depend on: the data, the
protocol, the preprocessing and, for random weights, the weights themselves, so that another seed or
another architecture is another floor. Files are written aside and renamed, hence never half there,
and runs side by side cannot lose each other's.

The trap: a source without a ``kept_key()`` (a Dataset of one's own) may have changed unseen, so its
floors are never kept.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ssl_patches.config.atomic import tidy, write_text
from ssl_patches.config.keys import key_of
from ssl_patches.config.outside import read_json
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.table import own_numbers
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import RANDOM_INIT, RAW_PIXELS, Row

Keys = dict[tuple[str, str], dict[str, Any]]
"""Of (floor, probe)."""
Rows = dict[tuple[str, str], list[Row]]
Predictions = dict[str, torch.Tensor]
FLOORS = {RANDOM_INIT, RAW_PIXELS}


def digest(model: nn.Module) -> str:
    """Hash a model's structure, as it prints itself, and every parameter and buffer (sha256)."""
    whole = hashlib.sha256(repr(model).encode())
    for name, tensor in model.state_dict().items():
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return whole.hexdigest()


def read_floors(folder: Path, key: Mapping[str, Any]) -> list[Row] | None:
    """Read the rows kept under ``key`` (JSON values); None where they are not there or damaged."""
    try:
        return [Row(**row) for row in read_json(_file(folder, key))["rows"]]
    # whatever is wrong with a cache, the floor is computed again
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_predictions(folder: Path, key: Mapping[str, Any]) -> Predictions:
    """Read the classes predicted for N test images that are kept under ``key``, by name, (N,)."""
    try:
        kept = read_json(_file(folder, key))["predictions"]
        return {
            name: torch.tensor([int(each) for each in some.split()]) for name, some in kept.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or of before
        return {}


def keep_floors(
    folder: Path, key: Mapping[str, Any], rows: list[Row], predictions: Predictions
) -> None:
    """Keep ``rows`` and ``predictions`` of classes (N,) by name under ``key``. Whoever reads at the
    same time sees all of it or nothing."""
    classes = {
        name: " ".join(map(str, some.tolist())) for name, some in _of_classes(predictions).items()
    }
    kept = {"key": key, "rows": [row.as_dict() for row in rows], "predictions": classes}
    write_text(_file(folder, key), json.dumps(kept, indent=1))


def _of_classes(predictions: Predictions) -> Predictions:
    """Leave out scores and values, which take more room."""
    return {
        name: some
        for name, some in predictions.items()
        if some.dim() == 1 and not some.is_floating_point()
    }


def collected(
    folder: Path | None, keys: Keys, fresh: Mapping[tuple[str, str], Predictions]
) -> dict[str, Predictions]:
    """Return the predictions of classes of each floor, fresh or kept; in one order, however."""
    found: dict[str, Predictions] = {}
    for floor, probe in sorted({*fresh, *keys}):
        if floor not in FLOORS:
            continue
        if (floor, probe) in fresh:
            some = _of_classes(fresh[floor, probe])
        else:
            some = {} if folder is None else read_predictions(folder, keys[floor, probe])
        found.setdefault(floor, {}).update(sorted(some.items()))
    return found


def make_folder(folder: Path) -> bool:
    """Make the folder and try it; tell whether it can be used. What killed processes left goes.

    Floors that cannot be kept are computed each time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return False
    tidy(folder)
    return True


def _file(folder: Path, key: Mapping[str, Any]) -> Path:
    return folder / f"{key_of(**key)[:24]}.json"


def floor_keys(
    models: Mapping[str, nn.Module | None],
    eval_data: EvalData,
    kind: Kind,
    probes: Mapping[str, Probe],
    fitting: Mapping[str, Sequence[str]],
) -> Keys:
    """Return what the metrics of each floor depend on; nothing where data cannot be recognised."""
    images = [source.kept_key() for source in (eval_data.train, eval_data.test)]
    if not all(images):
        return {}
    seen = {
        "mean": list(eval_data.mean),
        "std": list(eval_data.std),
        "image_size": eval_data.image_size,
    }
    common = {
        "data": images,
        "labels": kind,
        "limits": [eval_data.limit_train, eval_data.limit_test],
        **seen,
    }
    keys: Keys = {}
    for floor in FLOORS & models.keys():
        own: dict[str, Any] = {"floor": floor}
        if (model := models[floor]) is not None:
            own |= {"precision": eval_data.precision, "weights": digest(model)}
        for probe in (name for name in fitting[floor] if not probes[name].keeps):
            numbers = PROTOCOL | own_numbers({probe: probes[probe]})
            keys[floor, probe] = common | own | {"probe": probe, "protocol": numbers}
    return keys


def recalled(folder: Path | None, keys: Keys, data_name: str) -> Rows:
    """Read the rows of the floors that are kept, under today's name of the data."""
    if folder is None:
        return {}
    found = {which: read_floors(folder, key) for which, key in keys.items()}
    return {
        which: [replace(row, data=data_name) for row in rows]
        for which, rows in found.items()
        if rows is not None
    }
