"""Which model, which data: from the words of a command to the probes. Only what was exported is ever evaluated."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from tqdm import tqdm

from ssl_patches import assemble, config
from ssl_patches.encoders import create
from ssl_patches.evaluation.evaluate import evaluate_encoder
from ssl_patches.export import load_timm_folder, read_card
from ssl_patches.export.timm_folder import CARD
from ssl_patches.schema import EVALUATE, LOADER, SUPPLIED
from ssl_patches.trainer import choose_attention
from ssl_patches.wording import closest

Say = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and how it wants its images."""

    model: nn.Module
    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    cfg: Mapping[str, Any] | None  # of the run it comes from


def evaluate_command(words: Sequence[str], *, config_dirs: Sequence[Path], say: Say) -> list[dict[str, Any]]:
    """Rows for ``ssl-patches evaluate``. ValueError for a bad request."""
    supplied = {"data": SUPPLIED["data"]}
    schema = EVALUATE | ({"data": LOADER} if any(word.startswith("data=") for word in words) else {})
    cfg = config.request("evaluate", words, config_dirs=config_dirs, supplied=supplied, schema=schema)
    check_probes(cfg)
    subject = open_model(cfg["model"], pretrained=cfg["pretrained"])
    data, allowed = chosen_data(cfg, subject)
    floors = Path("runs") / ".floors"
    return _evaluate(subject, data, cfg, floors=floors, num_workers=data["num_workers"], allowed=allowed, say=say)


def chosen_data(cfg: Mapping[str, Any], subject: Subject) -> tuple[Mapping[str, Any], tuple[str, ...] | None]:
    """The data that were asked for, or those of the run, and whose classes they may name. ValueError where unfit."""
    if cfg.get("data"):
        data, allowed = cfg["data"], None
    elif subject.cfg:
        data, allowed = subject.cfg["data"], assemble.OURS
    else:
        raise ValueError(f"data: missing, {cfg['model']} comes from no run; give data=folder data.root=DIR or data=embedded")
    channels, taken = assemble.channels_of({"data": data}), len(subject.mean)
    if channels != taken:
        raise ValueError(f"data.channels={channels}: {cfg['model']} takes images of {taken}; set data.channels={taken}")
    return data, allowed


def check_probes(settings: Mapping[str, Any], prefix: str = "") -> None:
    """ValueError for what would only be found out after training."""
    for key in ("train_images", "test_images", "batch_size"):
        if settings[key] is not None and settings[key] < 1:
            raise ValueError(f"{prefix}{key}={settings[key]}: must be at least 1; set {prefix}{key}=256")


def evaluate_run(export: Path, cfg: Mapping[str, Any], *, say: Say) -> list[dict[str, Any]]:
    """Rows for the export of a run on the run's own data; none, after saying so, when these carry no labels."""
    val = assemble.source(cfg, "val", whole=True)
    if not (val.labels >= 0).any():
        say("no labels, so no probes; `ssl-patches evaluate` takes a labelled folder later")
        return []
    subject = open_model(str(export), pretrained=True)
    floors = Path(cfg["run_dir"]).parent / ".floors"
    settings = {**cfg["evaluation"], "precision": cfg["trainer"].get("precision", "fp32")}
    return _evaluate(subject, cfg["data"], settings, floors=floors, num_workers=cfg["data"]["num_workers"], allowed=None, say=say)


def _evaluate(
    subject: Subject,
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    floors: Path,
    num_workers: int,
    allowed: tuple[str, ...] | None,
    say: Say,
) -> list[dict[str, Any]]:
    device, untrained = "cuda" if torch.cuda.is_available() else "cpu", _untrained(subject)
    for model in (subject.model, untrained):
        choose_attention(model, accelerator=device, precision=settings["precision"])
    node = {"data": data, "image_size": subject.image_size}
    train, test = (assemble.source(node, split, whole=True, allowed=allowed) for split in ("train", "val"))
    limits = settings["train_images"], settings["test_images"]
    total = sum(min(len(source), limit or len(source)) for source, limit in zip((train, test), limits, strict=True))
    say(f"evaluating on {total} images")
    with tqdm(total=total, unit="image", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:
        rows = evaluate_encoder(
            encoder=subject.model,
            random_init=untrained,
            train_source=train,
            test_source=test,
            batch_size=settings["batch_size"],
            num_workers=num_workers,
            mean=subject.mean,
            std=subject.std,
            image_size=subject.image_size,
            data_name=assemble.data_name(data),
            limit_train=limits[0],
            limit_test=limits[1],
            floors_cache=floors,
            device=device,
            precision=settings["precision"],
            progress=bar.update,
        )
    return [row.as_dict() for row in rows]


def open_model(model: str, *, pretrained: bool) -> Subject:
    """The model that a word names: a run, an export, or one of timm's. ValueError when it is none of them."""
    place = Path(model)
    if place.is_dir():
        folder = place if (place / CARD).is_file() else place / "encoder"
        net, traits = load_timm_folder(folder)
        return Subject(net, traits["input_size"][1], traits["mean"], traits["std"], read_card(folder).get("config"))
    if not timm.is_model(model):
        near = closest(model, timm.list_models())
        hint = f"did you mean '{near}'?" if near else "give a run, an export or a timm name"
        raise ValueError(f"model={model}: no such folder, and timm has no such model; {hint}")
    try:
        net = timm.create_model(model, pretrained=pretrained, num_classes=0).eval()
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ValueError(
            f"model={model}: timm's weights cannot be loaded ({reason}); set pretrained=false, or name a folder"
        ) from None
    traits = net.pretrained_cfg
    return Subject(net, traits["input_size"][1], traits["mean"], traits["std"], None)


def _untrained(subject: Subject) -> nn.Module:
    """The same architecture with the weights that training would start from, calibrated and exported alike."""
    if subject.cfg is None:
        name = subject.model.pretrained_cfg["architecture"]
        torch.manual_seed(0)
        return create(name=name, image_size=subject.image_size).export(subject.image_size)
    encoder = assemble.encoder(subject.cfg, allowed=assemble.OURS)
    encoder.calibrate(assemble.whole_batches(subject.cfg, allowed=assemble.OURS))
    return encoder.export(subject.image_size)
