"""The commands as functions: ``ssl_patches.pretrain``, ``evaluate``, ``export``, ``load_encoder``.

A keyword is a key of the command and its value what would be typed there; a mapping sets the keys below it, one level
deep; ``settings`` takes dotted keys, as errors name them:

    ssl_patches.pretrain(
        data="my_images", task="masked", image_size=128, budget={"epochs": 50}, settings={"task.mask_ratio": 0.6}
    )

They become the words of the command, so defaults, checks and errors are those of the command line: ValueError with every
problem, before anything is written. The one thing that cannot be typed is a Dataset object, see ``data/live.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from ssl_patches import conf_files, config, mixture
from ssl_patches.data.live import standing
from ssl_patches.evaluation.command import evaluate_command, open_model
from ssl_patches.evaluation.intervals import Row
from ssl_patches.export.command import export_command
from ssl_patches.launch import follows, started_outside
from ssl_patches.preprocess import Preprocess
from ssl_patches.run import pretrain as run_pretrain
from ssl_patches.schema import EXPORT, PRETRAIN, SUPPLIED
from ssl_patches.studies.design import spelled
from ssl_patches.wording import BadRequest

Say = Callable[[str], None]
Place = str | os.PathLike


class Loaded(NamedTuple):
    """An encoder in eval mode, and what makes an image fit for it: ``encoder(preprocess(image)[None])`` -> (1, dim)."""

    encoder: nn.Module
    preprocess: Preprocess


def pretrain(
    *,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    config_dirs: Sequence[Place] = (),
    say: Say = print,
    **keys: Any,
) -> Path:
    """``ssl-patches pretrain``; returns the run directory. ValueError as the command would say it, all problems at once.

    ``data``: a folder of images, a name of conf/data, or a Dataset object (map-style; items are images, (image, label) or
    dicts of them), of which 20 % are held out unless ``{"train": ..., "val": ...}`` are given; None: the embedded images.
    ``keys``: ``task``, ``encoder``, ``image_size``, ``budget``, ``run_dir``, ... ``config_dirs``: as ``--config-dir``.
    """
    words, datasets = _data(data)
    words += _words(keys, settings)
    cfg = mixture.request(words, config_dirs=[Path(place) for place in config_dirs], supplied=SUPPLIED, schema=PRETRAIN)
    processes = cfg["trainer"].get("devices", 1) * cfg["trainer"].get("nodes", 1)
    if datasets and processes > 1 and started_outside() == 1:
        raise BadRequest(
            [
                f"trainer.devices={cfg['trainer']['devices']}: processes that are started here cannot have a Dataset object of "
                "this one; give data={'_target_': 'module.Class'}, start all with torchrun, or set trainer.devices=1"
            ]
        )
    with standing(datasets):
        return run_pretrain(cfg, say=_silent if follows() else say)


def evaluate(
    *,
    model: Place,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    config_dirs: Sequence[Place] = (),
    say: Say = print,
    **keys: Any,
) -> list[Row]:
    """``ssl-patches evaluate``: a row for each model (trained, random_init, raw_pixels) and metric, with 95 % bounds.

    ``model``: a run, an export or a name of timm. ``data``: as for ``pretrain``; None: those of the run. ``keys``:
    ``probes``, ``against``, ``figures``, ... ``[row.as_dict() for row in rows]`` is a table for pandas.
    """
    words, datasets = _data(data)
    words += _words({"model": model, **keys}, settings)
    with standing(datasets):
        return evaluate_command(words, config_dirs=[Path(place) for place in config_dirs], say=say)[0]


def export(*, model: Place, output: Place, data: Any = None, say: Say = print, **keys: Any) -> Path:
    """``ssl-patches export``; returns ``output``, a folder for ``timm.create_model("local-dir:...", pretrained=True)``.

    ``keys``: ``formats``, ``precision``, ``checkpoint``, ... ``data``: the Dataset object of a run that was trained on
    one (images calibrate the statistics of BatchNorm); other runs find their images by themselves.
    """
    words, datasets = _data(data)
    if words and not datasets:
        raise BadRequest([f"data={data}: export takes the images of the run; take it out"])
    cfg = config.request("export", _words({"model": model, "output": output, **keys}, None), schema=EXPORT)
    with standing(datasets):
        export_command(cfg, say=say)
    return Path(output)


def load_encoder(model: Place, *, pretrained: bool = True) -> Loaded:
    """The encoder of a run directory, an export or a name of timm, as a plain ``nn.Module``, and its preprocessing.

    Called on images (B, C, S, S) it gives pooled features (B, dim). ``pretrained`` is about timm names only: False gives
    random weights. ValueError when ``model`` is none of these, or its files were changed.
    """
    found = open_model(os.fspath(model), pretrained=pretrained)
    return Loaded(found.model, Preprocess(image_size=found.image_size, mean=tuple(found.mean), std=tuple(found.std)))


def _data(data: Any) -> tuple[list[str], Mapping[str, Any] | None]:
    """The words for ``data``, and the Dataset objects where it is one or two."""
    if data is None:
        return [], None
    if isinstance(data, str) and (data in conf_files.options("data") or not (os.sep in data or Path(data).is_dir())):
        return [f"data={data}"], None
    if isinstance(data, str | os.PathLike):
        return ["data=folder", f"data.root={spelled(os.fspath(data))}"], None
    if isinstance(data, Mapping) and "train" not in data:
        return (["data=own"] if "_target_" in data else []) + _words({"data": data}, None), None
    datasets = dict(data) if isinstance(data, Mapping) else {"train": data}
    if unknown := sorted(set(datasets) - {"train", "val"}):
        raise BadRequest([f"data['{unknown[0]}']: unknown split; give {{'train': DATASET, 'val': DATASET}}"])
    if named := [split for split, value in datasets.items() if isinstance(value, str | os.PathLike)]:
        raise BadRequest([f"data['{named[0]}']: must be a Dataset object; of folders give the one that holds train and val"])
    name = type(datasets["train"]).__name__
    return ["data=own", "data._target_=ssl_patches.data.live.live_source", f"data.name={spelled(name)}"], datasets


def _words(keys: Mapping[str, Any], settings: Mapping[str, Any] | None) -> list[str]:
    """KEY=VALUE for each, a mapping among ``keys`` as KEY.NAME=VALUE. BadRequest for what cannot be written down."""
    given: dict[str, Any] = {}
    for key, value in keys.items():
        given |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, Mapping) else {key: value}
    given |= settings or {}
    if problems := [
        f"{key}: a setting is plain data, and this is a {_live(value)}; give a name, a number or {{'_target_': 'module.Class'}}"
        for key, value in given.items()
        if _live(value)
    ]:
        raise BadRequest(problems)
    return [f"{key}={spelled(os.fspath(value) if isinstance(value, os.PathLike) else value)}" for key, value in given.items()]


def _silent(_: str) -> None:
    """What a process says that trains along with another."""


def _live(value: Any) -> str | None:
    """The name of the first class found in ``value`` that is no plain data."""
    if isinstance(value, Mapping | list | tuple):
        inside = value.values() if isinstance(value, Mapping) else value
        return next(filter(None, map(_live, inside)), None)
    return None if isinstance(value, str | int | float | None | os.PathLike) else type(value).__name__
