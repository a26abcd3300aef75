"""Evaluate one exported encoder on one set of images, beside its floors."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ssl_patches.config.files import trusted
from ssl_patches.config.messages import Say
from ssl_patches.data import build as build_data
from ssl_patches.data.build import data_name
from ssl_patches.data.index.listing import one_look
from ssl_patches.data.live import Datasets
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders import build as build_encoders
from ssl_patches.encoders import create
from ssl_patches.encoders.attention import choose_attention
from ssl_patches.encoders.subject import Subject
from ssl_patches.evaluation.evaluate import evaluate_model
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.labels import counts, described
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.table import GROUP, probes_named
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.record import Record
from ssl_patches.evaluation.rows import TRAINED


def record_of(
    subject: Subject,
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    floors: Path | None,
    figures: Path | None,
    num_workers: int,
    allowed: tuple[str, ...] | None,
    say: Say,
    sources: Datasets | None,
    probes: Mapping[str, Probe] | None = None,
    model_name: str = TRAINED,
    pair: tuple[ImageSource, ImageSource] | None = None,
    config_dirs: Sequence[Path] = (),
) -> Record:
    """Evaluate one model and return its rows with what they rest on.

    ``floors``: where they are kept; None does without floors. ``figures``: a folder for what the
    rows allow to draw. ``probes``: built already; None: those of ``settings``. ``pair``: train and
    test, where they are built already.
    """
    untrained = None
    if floors is not None:
        untrained = untrained_of(subject, data, allowed, sources, config_dirs)
    if probes is None:
        probes = probes_named(settings["probes"], settings.get(GROUP))

    def both(*, whole: bool) -> tuple[ImageSource, ImageSource]:
        node = {"data": data, "image_size": subject.image_size}
        with one_look():
            train, test = (
                build_data.source(node, split, whole=whole, allowed=allowed, sources=sources)
                for split in ("train", "val")
            )
        return train, test

    cuts = any(probe.cuts for probe in probes.values())  # pieces are best made of real pixels
    eval_data = _eval_data(
        subject,
        settings,
        pair or both(whole=True),
        large=both(whole=False) if cuts else None,
        num_workers=num_workers,
    )
    for model in filter(None, (subject.model, untrained)):
        choose_attention(model, accelerator=eval_data.device, precision=eval_data.precision)
    total = eval_data.images
    say(
        f"evaluating {model_name} on {total} images in {eval_data.precision}, protocol"
        f" {PROTOCOL['version']}: {', '.join(probes)}"
    )
    hidden = not sys.stderr.isatty() or not any(probe.reads for probe in probes.values())
    with tqdm(total=total, unit="image", disable=hidden, dynamic_ncols=True) as bar:
        record = evaluate_model(
            subject.model,
            eval_data,
            random_init=untrained,
            model_name=model_name,
            data_name=data_name(data),
            probes=probes,
            labels=settings["labels"],
            floors=floors is not None,
            floors_cache=floors,
            progress=bar.update,
            tell=bar.set_description_str,
        )
    if figures is not None:
        drawn = [
            path
            for probe in probes.values()
            for path in probe.draw(figures, record.rows, subject.model, eval_data)
        ]
        if drawn:
            say(f"figures: {', '.join(map(str, drawn))}")
    if floors is not None:
        _say_labels(say, record, eval_data)
        _say_seen(say, record, eval_data)
    return record


def _eval_data(
    subject: Subject,
    settings: Mapping[str, Any],
    pair: tuple[ImageSource, ImageSource],
    *,
    large: tuple[ImageSource, ImageSource] | None,
    num_workers: int,
) -> EvalData:
    train, test = pair
    return EvalData(
        train=train,
        test=test,
        batch_size=settings["batch_size"],
        num_workers=num_workers,
        mean=subject.mean,
        std=subject.std,
        image_size=subject.image_size,
        limit_train=settings["train_images"],
        limit_test=settings["test_images"],
        device="cuda" if torch.cuda.is_available() else "cpu",
        precision=settings["precision"],
        large=large,
    )


def _say_labels(say: Say, record: Record, data: EvalData) -> None:
    if not len(record.labels):
        return
    say(f"labels: {described(record.kind, record.labels)}")
    if record.kind == "class":
        for source, name in ((data.train, "train"), (data.test, "test")):
            if source.labels is not None:
                say(f"  {name:5}  {counts(source.labels, source.classes)}")


def _say_seen(say: Say, record: Record, data: EvalData) -> None:
    """Say how many test images training images show too: they are no test."""
    if not record.seen:
        return
    first, twin = record.seen[0]
    test, train = _known_name(data.test, first), _known_name(data.train, twin)
    say(
        f"images: {len(record.seen):,} of {len(record.index):,} test images have the same pixels as"
        f" training images ({test} is {train}), so what they count for is memory; `ssl-patches"
        " doctor` lists equal files, `duplicates` others"
    )


def _known_name(source: ImageSource, at: int) -> str:
    """Return the name of an image that the user knows it by."""
    return source.known_as[at] if len(source.known_as) else f"image {at}"


def untrained_of(
    subject: Subject,
    data: Mapping[str, Any],
    allowed: tuple[str, ...] | None,
    sources: Datasets | None,
    config_dirs: Sequence[Path],
) -> nn.Module:
    """Build the same architecture with the weights that training would start from.

    Calibrated and exported alike: on the images of the run, or, where those cannot be had, on
    ``data``.
    """
    if subject.cfg is None:
        traits: Any = subject.model
        name = traits.pretrained_cfg["architecture"]
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            return create(name=name, image_size=subject.image_size).export(subject.image_size)
    named = trusted("encoder", config_dirs=config_dirs)
    encoder = build_encoders.encoder(subject.cfg, allowed=named)
    encoder.fixed_statistics = False  # random weights came with none
    encoder.calibrate(_images_of_run(subject, data, allowed, sources))
    return encoder.export(subject.image_size)


def _images_of_run(
    subject: Subject,
    data: Mapping[str, Any],
    allowed: tuple[str, ...] | None,
    sources: Datasets | None,
) -> Iterator[Tensor]:
    own = subject.cfg or {}
    batches = build_data.whole_batches(
        own, allowed=trusted(), sources=sources, fingerprint=subject.fingerprint
    )
    try:
        first = next(batches)
    except ValueError:  # they are gone, or others lie in their place
        other = {**own, "data": {**data, "statistics": own["data"].get("statistics")}}
        yield from build_data.whole_batches(other, allowed=allowed, sources=sources)
        return
    yield first
    yield from batches
