"""Pack an export for others: its files as they are, a README for the place where it will lie, and a
card without what is only this machine's.

Traps: (a) a card holds the settings of the run, and these name folders, a user, addresses of
loggers, keys of a store: what did not make the weights stays here. (b) A folder may hold other
files: only those go along that an export writes and its card lists. (c) A file may have changed
since it was proven: hashes are compared first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from ssl_patches.config.outside import check_regular
from ssl_patches.config.plain_text import as_utf8
from ssl_patches.config.run_dir import CONFIG as RUN
from ssl_patches.config.run_dir import FREE_TO_CHANGE
from ssl_patches.encoders.exported import (
    CARD,
    README,
    ExportMismatch,
    as_json,
    check_hashes,
    check_timm_config,
    read_card,
)
from ssl_patches.export.readme import readme
from ssl_patches.export.staging import NAMES

MADE_THE_WEIGHTS = {"budget", "trainer", "evaluation"}
"""Keys of a run that may change when it is resumed, and are worth knowing all the same."""
OF_DATA = {"_target_", "name", "dataset", "split_folders", "statistics", "value_range", "channels"}
"""Keys of ``data`` that go along as they are; of the others numbers do, and the last part of
``PLACES``."""
PLACES = ("root", "path")


@dataclass(frozen=True)
class Parcel:
    """What is sent to the hub: name of a file -> the file, or the bytes that are made for there.

    ``left``: names of files in the folder that stay. ``withheld``: keys of the run that do.
    """

    repository: str
    architecture: str
    license: str | None
    files: Mapping[str, Path | bytes]
    left: tuple[str, ...]
    withheld: tuple[str, ...]

    def size(self, name: str) -> int:
        """Return the bytes of a file."""
        held = self.files[name]
        return len(held) if isinstance(held, bytes) else held.stat().st_size

    def text(self, name: str) -> str:
        """Return the text of a file that was made for the hub."""
        held = self.files[name]
        return (held if isinstance(held, bytes) else held.read_bytes()).decode()


def export_in(model: Path) -> Path:
    """Return the export that a path means: itself, or the one of a run. ValueError: it is none."""
    if (model / CARD).is_file():
        return model
    if (model / RUN).is_file():
        if (model / "encoder" / CARD).is_file():
            return model / "encoder"
        raise ValueError(
            f"model={model}: is a run without an encoder, not finished or with export=none; give it"
            f" one: ssl-patches export model={model} output={model / 'encoder'}"
        )
    raise ValueError(
        f"model={model}: must be an export or a run of ssl_patches, and has no {CARD}; name the"
        " folder that ssl-patches export wrote"
    )


def packed(model: Path, repository: str, *, license: str | None = None) -> Parcel:
    """Pack the export in ``model`` (or of the run there) for USER/NAME; nothing is written.

    ``license``: None keeps the one that the export states. ValueError where it is no export, was
    changed since it was written, has no timm format, or the licence is no name of one.
    """
    folder, card = export_in(model), _checked(export_in(model))
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise ValueError(
            f"license={license}: must be a name of the hub's list, small letters, digits, '-' and"
            " '.'; give such as license=apache-2.0"
        )
    written = [name for name in card["files"] if name in NAMES]
    for name in written:
        check_regular(folder / name)
    config, withheld = shared(card.get("config"))
    sent = {**card, "config": config, "license": license or card.get("license")}
    try:
        text = as_utf8(readme(sent, repository)).encode()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"model={folder}: its card lacks what a README says ({error}); export it again"
        ) from None
    hashes = {name: card["files"][name] for name in written}
    sent["files"] = hashes | {README: hashlib.sha256(text).hexdigest()}
    files: dict[str, Path | bytes] = {name: folder / name for name in written}
    files |= {README: text, CARD: as_json(sent, "export.card").encode()}
    return Parcel(
        repository=repository,
        architecture=str(card["architecture"]),
        license=sent["license"],
        files=dict(sorted(files.items())),
        left=tuple(sorted(p.name for p in folder.iterdir() if p.name not in files)),
        withheld=withheld,
    )


def _checked(folder: Path) -> dict[str, Any]:
    """Return the card of an export whose files are as they were written; ValueError for others."""
    try:
        check_hashes(folder)
        card = read_card(folder)
        if "timm" not in card.get("formats", {"timm": {}}):
            raise ValueError(
                f"model={folder}: was exported without the timm format, which timm and transformers"
                " read; export it again with formats=[timm,...]"
            )
        check_timm_config(folder)
    except ExportMismatch as error:
        reason = str(error).removeprefix(f"{folder}: ").removesuffix("; export again")
        raise ValueError(
            f"model={folder}: {reason}; look with ssl-patches verify {folder}, and export again"
        ) from None
    return card


def shared(config: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the settings of a run that others may read, and the keys that were changed for that.

    Left out are settings that did not make the weights (``run_dir``, ``logger``, ``callbacks``,
    ...) and how data are read; of a path that begins at the root of a disk or at home, and of the
    place of data, the last part is kept.
    """
    if not isinstance(config, Mapping):
        return config, ()
    private = FREE_TO_CHANGE - MADE_THE_WEIGHTS
    changed = [key for key in config if key in private and config[key]]
    kept = {key: value for key, value in config.items() if key not in private}
    if isinstance(kept.get("data"), Mapping):
        data = kept["data"]
        stays = {key: value for key, value in data.items() if key in OF_DATA or _is_number(value)}
        stays |= {key: _last_part(data[key]) for key in PLACES if isinstance(data.get(key), str)}
        changed += [f"data.{key}" for key in data if key not in stays or stays[key] != data[key]]
        kept["data"] = stays
    found = {}
    for key, value in kept.items():
        found[key], paths = _without_paths(value, key)
        changed += paths
    return found, tuple(changed)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)


def _without_paths(value: Any, key: str) -> tuple[Any, list[str]]:
    """Return a setting with names in the place of paths from a root, and the keys of those."""
    if isinstance(value, Mapping):
        inner = {name: _without_paths(held, f"{key}.{name}") for name, held in value.items()}
        changed = [path for _, paths in inner.values() for path in paths]
        return {name: held for name, (held, _) in inner.items()}, changed
    if isinstance(value, list):
        items = [_without_paths(held, f"{key}[{at}]") for at, held in enumerate(value)]
        return [held for held, _ in items], [path for _, paths in items for path in paths]
    if isinstance(value, str) and (value.startswith(("/", "~")) or PureWindowsPath(value).drive):
        return _last_part(value), [key]
    return value, []


def _last_part(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
