"""Open the encoders that ours is held against, before anything is computed.

A rival is a run, an export, a name of timm, a file of a public network that is known by its tensors
(``encoders.layouts``), or NAME@FILE: a name of timm with the weights of a file.

The trap: a rival that sees smaller or larger images than it was trained on, unsaid. It sees the
images at its own size unless ``rival_size`` says another, and the size is told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from ssl_patches.encoders import create
from ssl_patches.encoders.hub import check_reachable
from ssl_patches.encoders.prepared import layout_of_file, prepared_for
from ssl_patches.encoders.subject import Subject, open_model
from ssl_patches.evaluation.rows import AGAINST, DIFFERENCE, RANDOM_INIT, RAW_PIXELS, TRAINED

KEY = "rivals"
RESERVED = (TRAINED, RANDOM_INIT, RAW_PIXELS, AGAINST, DIFFERENCE)


@dataclass(frozen=True)
class Rival:
    """An encoder to be held against ours. ``name``: in tables; ``word``: as it was typed."""

    name: str
    word: str
    subject: Subject


def open_rivals(
    words: Sequence[str], *, pretrained: bool, image_size: int | None, channels: int
) -> list[Rival]:
    """Open every rival.

    ``pretrained``: names of timm with their weights. ``image_size``: side in pixels that they see;
    None: each its own. ``channels``: of the images. ValueError where one cannot be opened, takes
    other channels, or is named twice.
    """
    found: list[Rival] = []
    for word in words:
        if words.count(word) > 1:
            raise ValueError(f"{KEY}=[{word}]: is named twice; name each once")
        name, subject = _opened(word, pretrained, image_size)
        if len(subject.mean) != channels:
            raise ValueError(
                f"{KEY}=[{word}]: takes images of {len(subject.mean)} channels and these have"
                f" {channels}; set data.channels={len(subject.mean)}, or leave it out"
            )
        found.append(Rival(_free(name, [rival.name for rival in found]), word, subject))
    return found


def _opened(word: str, pretrained: bool, image_size: int | None) -> tuple[str, Subject]:
    """Open one rival and name it. ValueError where it cannot be."""
    name, _, file = word.rpartition("@")
    if file and (name or Path(file).expanduser().is_file()):
        return _of_file(word, name, Path(file).expanduser(), image_size)
    try:
        if pretrained and timm.is_model(word) and not Path(word).is_dir():
            check_reachable(word)
        subject = open_model(word, pretrained=pretrained, key=KEY)
    except OSError as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{KEY}=[{word}]: timm's weights cannot be had ({reason}); name a file,"
            f" {KEY}=[{word}@FILE], or leave it out"
        ) from None
    place = Path(word)
    shown = place.parent.name if place.name == "encoder" else place.name
    if image_size is None or image_size == subject.image_size:
        return shown, subject
    return shown, _resized(subject, word, image_size)


def _resized(subject: Subject, word: str, image_size: int) -> Subject:
    """Let a network that takes any size see another one. ValueError for one that does not."""
    try:
        with torch.no_grad():
            subject.model(torch.zeros(1, len(subject.mean), image_size, image_size))
    except (AssertionError, RuntimeError, ValueError):
        raise ValueError(
            f"rival_size={image_size}: {word} takes {subject.image_size} px only; leave rival_size"
            " out, or the rival"
        ) from None
    return Subject(
        subject.model,
        image_size,
        subject.mean,
        subject.std,
        subject.cfg,
        subject.fingerprint,
        subject.stored_range,
    )


def _of_file(word: str, name: str, file: Path, image_size: int | None) -> tuple[str, Subject]:
    """Open a file of weights, and name it by its network.

    ValueError where nothing says whose they are, or they do not fit.
    """
    layout = layout_of_file(file)
    if not name:
        if layout is None:
            raise ValueError(
                f"{KEY}=[{word}]: the file does not say whose weights it holds; write"
                f" {KEY}=[TIMM_NAME@{word}]"
            )
        name = layout.architecture
    if not timm.is_model(name):
        raise ValueError(f"{KEY}=[{word}]: timm has no model {name}; write {KEY}=[TIMM_NAME@FILE]")
    known: Any = timm.get_pretrained_cfg(name)
    size = image_size or (224 if known is None else known.input_size[1])
    try:
        encoder = create(name=name, image_size=size, pretrained=str(file))
    except ValueError as error:
        raise ValueError(f"{KEY}=[{word}]: {error}") from None
    said = prepared_for(str(file), name) or prepared_for(True, name)
    mean, std = said.of(3) if said else ([0.5] * 3, [0.5] * 3)
    return name, Subject(encoder.export(size), size, mean, std, None)


def _free(name: str, taken: Collection[str]) -> str:
    """Return a name for tables that no other model has."""
    plain = f"{name}_rival" if name in RESERVED else name
    known, number = plain, 2
    while plain in taken:
        plain, number = f"{known}_{number}", number + 1
    return plain
