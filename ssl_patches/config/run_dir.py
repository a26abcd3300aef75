"""Claim the directory of a run once, never overwrite it unasked, resume only the run that wrote
it."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssl_patches.config.atomic import replacing
from ssl_patches.config.locks import exclusive, refuse_others
from ssl_patches.config.ownership import LEFT, STEP, refuse_what_no_run_wrote, strange
from ssl_patches.config.renamed import with_current_names
from ssl_patches.config.saved import load

FREE_TO_CHANGE = {
    "budget",
    "resume",
    "overwrite",
    "run_dir",
    "trainer",
    "evaluation",
    "export",
    "logger",
    "callbacks",
}
"""Keys that may differ when a run is resumed; all others decide what its checkpoints mean."""

PLACE_OF_DATA = {"num_workers", "root", "skip", "max_corrupt", "cache", "cache_max_gb"}
"""Keys of ``data`` that may differ too: the fingerprint says what the images are."""

CONFIG, LAST, SUMMARY = "config.yaml", Path("checkpoints") / "last.ckpt", "summary.json"
LABELS = "label_efficiency.json"
"""What `evaluate probes=[label_efficiency]` leaves beside a run: rows of it and of its rivals."""
CELL = "cell.json"
"""What a study leaves in the directory of each of its runs: what the run is in the study."""
TRIAL = "trial.json"
"""What a trial of a study leaves in place of a summary."""


ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""What an address begins with; ``Path`` has made one slash of two."""


def default_name(cfg: Mapping[str, Any], part: str) -> Path:
    """Return runs/TASK-ENCODER-TIME; ``part`` names the task or the tasks of a mixture."""
    return Path("runs") / f"{part}-{cfg['encoder'].get('name', 'encoder')}-{stamp()}"


def stamp() -> str:
    """Return the time to the microsecond, so that two runs of one second do not collide."""
    now = time.time()
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{int(now % 1 * 1e6):06d}"


def refuse_used(directory: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise ValueError when ``directory`` is in use and neither key allows it, and where it is no
    folder of this machine."""
    if ADDRESS.match(str(directory)):
        raise ValueError(
            f"run_dir={directory}: must be a folder of this machine, and is an address; set"
            " run_dir=DIR (a study on Ray keeps its runs in an object store with ray.store=)"
        )
    if directory.exists() and not directory.is_dir():
        raise ValueError(
            f"run_dir={directory}: is a file; set run_dir=DIR to a new or empty folder"
        )
    if directory.is_dir() and any(directory.iterdir()) and not resume:
        if not overwrite:
            raise ValueError(
                f"run_dir={directory}: is in use, must be new or empty; set resume=true to continue"
                " the run, overwrite=true to replace it, or another run_dir"
            )
        refuse_what_no_run_wrote(directory, "overwrite=true")


@contextmanager
def claimed(directory: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Make ``directory`` this run's own for the block: nobody else works in it, or deletes it.

    ValueError when it is in use and neither key allows it, and while another process works in it.
    """
    refuse_used(directory, resume=resume, overwrite=overwrite)
    refuse_others(directory)
    _make(directory.parent, directory)
    with exclusive(directory):
        claim(directory, resume=resume, overwrite=overwrite)
        yield


def claim(directory: Path, *, resume: bool, overwrite: bool) -> None:
    """Empty ``directory``, or tidy what a killed run left in it, and make its folders.

    ValueError when it is in use and neither key allows it.
    """
    refuse_used(directory, resume=resume, overwrite=overwrite)
    if directory.is_dir() and any(directory.iterdir()) and not resume:
        delete(directory)
    _make((directory / LAST).parent, directory)
    for folder, patterns in ((directory, LEFT), ((directory / LAST).parent, ("*.half",))):
        for left in [place for pattern in patterns for place in folder.glob(pattern)]:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    newest = newest_checkpoint(directory)
    if newest.name != LAST.name and newest.is_file():
        point_at(newest, directory / LAST)


def steps_in(checkpoints: Path) -> list[Path]:
    """Return the files ``step-N.ckpt`` of a folder by their number; not ``step-best.ckpt``, say,
    which somebody put there."""
    found = [(STEP.fullmatch(file.name), file) for file in checkpoints.glob("step-*.ckpt")]
    return [file for _, file in sorted((int(match[1]), file) for match, file in found if match)]


def newest_checkpoint(directory: Path) -> Path:
    """Return ``last.ckpt``, or the newer ``step-N.ckpt`` of a run that was killed before that was
    pointed at it."""
    last = directory / LAST
    newest = next(reversed(steps_in(last.parent)), None)
    if newest is None or not last.is_file():
        return newest or last
    return newest if newest.stat().st_mtime_ns > last.stat().st_mtime_ns else last


def point_at(file: Path, link: Path) -> None:
    """Give a file a second name at once; where the file system has no hard links, copy it."""
    with replacing(link, durable=True) as aside:
        try:
            os.link(file, aside)
        except OSError:
            shutil.copyfile(file, aside)


def delete(directory: Path) -> None:
    """Delete a folder at once: also when this is interrupted, half of it is no run any more."""
    gone = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}.removed")
    directory.rename(gone)
    shutil.rmtree(gone)


def _make(folder: Path, directory: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"run_dir={directory}: cannot be made ({error.strerror}); set another run_dir"
        ) from None


def checkpoint_to_resume(
    directory: Path,
    origin: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    former_fingerprint: str = "",
) -> dict[str, Any] | None:
    """Return what the newest checkpoint holds, or None when there is nothing to resume.

    ``former_fingerprint``: of the images by the rule of before, which checkpoints of then hold.
    ValueError when another run wrote it, or when both keys are set.
    """
    if resume and overwrite:
        raise ValueError(
            "resume=true, overwrite=true: one continues the run and the other deletes it; set only"
            " one of them"
        )
    if not resume:
        return None
    newest = newest_checkpoint(directory)
    if not newest.is_file():
        _refuse_lost(directory, origin)
        return None
    checkpoint = read_checkpoint(newest)
    held = checkpoint["origin"]
    if former_fingerprint and held.get("data_fingerprint") == former_fingerprint:
        held = {**held, "data_fingerprint": origin["data_fingerprint"]}
    _refuse_other(newest, held, origin)
    return checkpoint


def _refuse_other(file: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ValueError where the settings in ``file`` are of another model or data."""
    changed = changed_settings(with_current_names(before), with_current_names(now))
    if set(changed) == {"data_fingerprint"}:
        raise ValueError(
            f"resume=true: {file} was trained on other images than those that are there"
            " now (their names, sizes or content are others); give the run's own, or another"
            " run_dir"
        )
    if changed:
        key, (was, given) = next(iter(changed.items()))
        others = f" (and {', '.join(list(changed)[1:])})" if len(changed) > 1 else ""
        raise ValueError(
            f"resume=true: {file} comes from another model or data: {key} was"
            f" {was!r} and is now {given!r}{others}; give the run's own settings, or another"
            " run_dir"
        )


def _refuse_lost(directory: Path, origin: Mapping[str, Any]) -> None:
    """Raise ValueError where starting anew in ``directory`` would replace what another run left."""
    if not directory.is_dir():
        return
    if (directory / SUMMARY).is_file():
        raise ValueError(
            f"resume=true: {directory} is a finished run whose {LAST} is gone, so it cannot go on;"
            " set another run_dir, or overwrite=true to replace it"
        )
    if (directory / CONFIG).is_file():
        before = origin_of(load(directory / CONFIG), str(origin.get("data_fingerprint")))
        _refuse_other(directory / CONFIG, before, origin)
    elif others := strange(directory):
        raise ValueError(
            f"resume=true: {directory} is no run, and holds {others[0]}; set run_dir=DIR to the run"
            " that is to go on"
        )


def same_batch(checkpoint: Mapping[str, Any], batch_size: int, shard: int) -> None:
    """Raise ValueError when the run resumed had another number of images per step.

    Its schedule and its budget count steps. ``shard``: images that one process takes at a time.
    """
    before = checkpoint.get("batch_size", shard)
    if before != batch_size:
        together = f"make trainer.accumulate * trainer.devices * trainer.nodes {before // shard}"
        raise ValueError(
            f"resume=true: the run had {before} images per step and would now have {batch_size};"
            f" {together}, or give another run_dir"
        )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint as plain containers and tensors.

    ValueError when there is none, when it cannot be read or is no checkpoint of ours.
    """
    if not path.is_file():
        raise ValueError(
            f"checkpoint={path}: no such file; name a .ckpt in a run's checkpoints folder"
        )
    import torch  # here: a request is checked without it

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError, ValueError, OSError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        if "PytorchStreamReader" in reason or isinstance(error, EOFError | OSError):
            reason = f"it is cut off or damaged, with {path.stat().st_size} bytes"
        elif isinstance(error, pickle.UnpicklingError):  # whose advice is to run what is in it
            reason = "it holds more than tensors and plain values, or is damaged"
        raise ValueError(
            f"checkpoint={path}: cannot be read ({reason}); delete it, an older step-*.ckpt beside"
            " it may do"
        ) from None
    if not isinstance(found, dict) or "origin" not in found:
        raise ValueError(
            f"checkpoint={path}: was not written by ssl-patches pretrain; name a .ckpt in a run's"
            " checkpoints folder"
        )
    return found


def origin_of(cfg: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    """Return the settings that decide what the weights of a run mean; checkpoints hold them."""
    kept = {key: value for key, value in cfg.items() if key not in FREE_TO_CHANGE}
    if not kept.get("spread"):  # as runs of before there was such a setting
        kept.pop("spread", None)
    data = {key: value for key, value in kept["data"].items() if key not in PLACE_OF_DATA}
    return {**kept, "data": data, "data_fingerprint": fingerprint}


def changed_settings(before: Any, now: Any, key: str = "") -> dict[str, tuple[Any, Any]]:
    """Return key path -> (before, now) for every leaf that differs; an absent one is None."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found: dict[str, tuple[Any, Any]] = {}
        for name in sorted({*before, *now}):
            found |= changed_settings(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
        return found
    return {} if before == now else {key: (before, now)}
