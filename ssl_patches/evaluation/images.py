"""Choose the images that an encoder is asked about, and say what is different about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config.files import trusted
from ssl_patches.config.messages import Say
from ssl_patches.config.schema import channels_of
from ssl_patches.data import build as build_data
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders.subject import Subject


def say_images(say: Say, subject: Subject, sources: Sequence[ImageSource], *, of_run: bool) -> None:
    """Say what there is to say of the images, before anything is computed.

    ``sources``: train first. ``of_run``: they are meant to be those that the model was trained on.
    """
    for line in build_data.remarks(*sources):
        say(f"images: {line}")
    if of_run and build_data.other_images(subject.fingerprint, sources[0]):
        say(
            "images: other images than the run was trained on lie where its own were; give"
            " data.root=DIR for those, or data=folder data.root=DIR for others"
        )


def limits_told(cfg: Mapping[str, Any], subject: Subject, sources: Sequence[ImageSource]) -> str:
    """Say which words give the figures of the run's own evaluation, where it read fewer images.

    ``sources``: train first. "" where it read as many, and where ``cfg`` says how many.
    """
    own = (subject.cfg or {}).get("evaluation") or {}
    keys = ("train_images", "test_images")
    if any(cfg[key] is not None for key in keys):
        return ""
    fewer = {
        key: own[key]
        for key, source in zip(keys, sources, strict=True)
        if own.get(key) is not None and own[key] < len(source)
    }
    if not fewer:
        return ""
    words = " ".join(f"{key}={number}" for key, number in fewer.items())
    return f"images: the run itself was evaluated on fewer; {words} gives its figures"


def chosen_data(
    cfg: Mapping[str, Any],
    subject: Subject,
    changes: Sequence[str] = (),
    *,
    config_dirs: Sequence[Path],
) -> tuple[Mapping[str, Any], tuple[str, ...] | None]:
    """Choose the data that were asked for, or those of the run, and the classes they may name.

    ``config_dirs``: the user's own YAML, whose classes the data of a run may name too.

    ``changes``: data.KEY=VALUE for the data of the run. ValueError where there are none, or of
    another number of channels than the model takes.
    """
    if cfg.get("data"):
        data, allowed = build_data.with_value_range(cfg["data"], subject.stored_range), None
    elif subject.cfg:
        data, allowed = subject.cfg["data"], trusted("data", config_dirs=config_dirs)
        data, allowed = build_data.with_changes(data, changes, allowed)
    else:
        raise ValueError(
            f"data: missing, {cfg['model']} comes from no run; give data=folder data.root=DIR or"
            " data=embedded"
        )
    check_channels(data, subject, cfg["model"])
    return data, allowed


def range_told(
    typed: Mapping[str, Any] | None, data: Mapping[str, Any], subject: Subject, name: str
) -> list[str]:
    """Return a line where images are read by the range of the model, or by another one.

    ``typed``: the data that were asked for; ``data``: those that are read. None where they agree.
    """
    read, trained = data.get("value_range"), subject.stored_range
    known = subject.cfg is not None  # timm says nothing of stored values
    if not known or list(read or ()) == list(trained or ()):
        taken = typed and read is not None and typed.get("value_range") is None
        return [f"data.value_range={_range(read)}, as {name} was trained"] if taken else []
    now, then = _range(read), _range(trained)
    return [
        f"images of more than 8 bits are read by {now}, and {name} was trained by {then}"
        " (data.value_range)"
    ]


def _range(stated: Sequence[float] | None) -> str:
    """Say a range as it is typed."""
    if stated is None:
        return "the range of their type"
    return f"[{','.join(f'{value:g}' for value in stated)}]"


def check_channels(data: Mapping[str, Any], subject: Subject, name: str) -> None:
    """Check that images have as many channels as a model takes; ValueError where they have not."""
    channels, taken = channels_of({"data": data}), len(subject.mean)
    if channels != taken:
        raise ValueError(
            f"data.channels={channels}: {name} takes images of {taken}; set data.channels={taken}"
        )
