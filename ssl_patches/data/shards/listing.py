"""List shards: what ``data.path`` names, on a disk or in an object store, and the side of each.

A path is a folder, a file, or a pattern with ``*`` or ``{000..012}``; with ``://`` it is read
through fsspec (``s3://``, ``gs://``, ``https://``, ...). Shards are ``.tar`` and ``.parquet``. A
shard is for training or put aside by the name of its folder or its own first word
(``train-0001.tar``, ``val/0001.tar``); where no name says so, images are divided by the hash of
their names.

What ``ssl-patches pack`` wrote has a list, ``shards.json``: each shard must be there with its size.
One on this disk that was changed after its list is hashed before the list is believed (once, see
``store.py``): a shard that was edited in place has its size still. Names that count themselves
(``-00003-of-00010``) must be complete.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ssl_patches.config.outside import parse_json, read_text
from ssl_patches.data.left_out import Aside, LeftOut
from ssl_patches.data.shards.patience import USUAL, Patience, refused
from ssl_patches.data.splits import Side, side_of
from ssl_patches.data.suffixes import SUFFIXES as IMAGES

SUFFIXES = (".tar", ".parquet")
PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2", ".tar.lz4", ".zip", ".7z", ".rar")
LISTED, CLASSES = "shards.json", "classes.txt"
TABLE = ".members.npz"  # what is added to the name of a shard for the table beside it
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
COUNTED = re.compile(r"(.*?)(\d+)-of-(\d+)(.*)")


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as it is listed.

    ``url``: a path, or an address with ``://``. ``bytes``: its size. ``state``: what changes when
    it is written anew; for a path ``state_on_disk``. ``sha256``: of its content, where a list of
    ours says so. ``changed``: when it was changed or copied after that list, in ns; 0: it was not.
    """

    url: str
    bytes: int
    state: str
    sha256: str | None = None
    changed: int = 0

    @property
    def name(self) -> str:
        """Return the last part of its address."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def remote(self) -> bool:
        """Return whether it has to be fetched."""
        return is_remote(self.url)

    @property
    def in_place(self) -> bool:
        """Return whether its images are read where it lies."""
        return not self.remote and not self.name.endswith(".parquet")

    @property
    def side(self) -> Side | None:
        """Return the side of the split that its folder or its first word names; None: none."""
        *_, folder, name = ["", "", *self.url.split("/")]
        first = re.split(r"[-_.]", name)[0]
        return side_of(first) or side_of(folder)


@dataclass(frozen=True, slots=True)
class Listing:
    """The shards of a place, in the order of their names, and the names of its classes.

    ``left``: files that may hold images and are no shards.
    """

    shards: list[Shard]
    classes: list[str]
    left: list[LeftOut] = field(default_factory=list)


def state_on_disk(status: os.stat_result) -> str:
    """Return what changes when a shard on this disk is written."""
    return str(status.st_mtime_ns)


def is_remote(url: str) -> bool:
    """Tell whether an address is read through fsspec."""
    return "://" in url


def list_shards(path: str, options: Mapping[str, Any], patience: Patience = USUAL) -> Listing:
    """List the shards that ``path`` names. ``options``: of fsspec's file system.
    ``patience``: with a store that does not answer.

    ValueError where there are none, where one is missing or has another size than its list says,
    and where the place may not be read.
    """
    left = Aside()
    found = [each for one in _spelled(path) for each in _named(one, path, options, patience, left)]
    shards = sorted(found, key=lambda shard: shard.url)
    if not shards:
        raise ValueError(
            f"data.path={path}: must name shards ({', '.join(SUFFIXES)}), but there are none; set"
            " data.path to a folder, a pattern such as DIR/{000..012}.tar, or an address"
        )
    _complete(shards, path)
    folder = shards[0].url.rpartition("/")[0]
    said = _content(f"{folder}/{LISTED}", options, patience)
    if said is not None:
        shards = _as_listed(shards, said, path, written=_changed(f"{folder}/{LISTED}"))
    names = _content(f"{folder}/{CLASSES}", options, patience) or ""
    classes = [line.partition(" ")[2] or line for line in names.splitlines() if line.strip()]
    return Listing(shards, classes, left.told())


def file_system(url: str, options: Mapping[str, Any], key: str = "data.path") -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it. ``key``: the setting of it.

    ValueError where its library is not installed.
    """
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(
            url, **{**options, "skip_instance_cache": True, "use_listings_cache": False}
        )
    except ImportError as error:
        protocol = url.partition("://")[0]
        raise ValueError(
            f"{key}={url}: needs what reads {protocol}:// ({error}); install it: pip install"
            f" 'ssl-patches[shards]' {'s3fs' if protocol == 's3' else ''}".rstrip()
        ) from None


def _spelled(path: str) -> list[str]:
    """Write out the numbers of a pattern with braces."""
    found = BRACES.search(path)
    if not found:
        return [path]
    first, last = found[1], found[2]
    return [
        each
        for number in range(int(first), int(last) + 1)
        for each in _spelled(f"{path[: found.start()]}{number:0{len(first)}}{path[found.end() :]}")
    ]


def _named(
    path: str, typed: str, options: Mapping[str, Any], patience: Patience, left: Aside
) -> list[Shard]:
    """Return the shards of a folder, a file or a pattern with ``*``; ``left`` counts others."""
    if is_remote(path):
        return _remote(path, typed, options, patience, left)
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(path):
        names = list(_below(path))
        paths = [name for name in names if _is_shard(name, left)]
    else:
        paths = glob.glob(path) if "*" in path else [path]
    for each in paths:
        if not os.path.isfile(each):
            raise ValueError(
                f"data.path={typed}: names the shard {each}, which is not there; see whether it was"
                " moved, or name only those that are"
            )
    stats = [os.stat(each) for each in paths]
    return [
        Shard(path, stat.st_size, state_on_disk(stat))
        for path, stat in zip(paths, stats, strict=True)
        if not os.path.basename(path).startswith(".")
    ]


def _below(folder: str) -> Iterator[str]:
    """Yield the files below a folder, through links, each folder once."""
    seen = set[tuple[int, int]]()
    for where, folders, names in os.walk(folder, followlinks=True):
        found = os.stat(where)
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        yield from (os.path.join(where, name) for name in names)


def _is_shard(name: str, left: Aside) -> bool:
    """Tell whether a file is a shard by its name; count what may hold images and is none."""
    lower = name.lower()
    if name.endswith(SUFFIXES):
        return True
    if lower.endswith(SUFFIXES):
        left.add(name, "shards end in .tar or .parquet, in lower case", "files")
    elif lower.endswith(PACKED):
        left.add(name, "is compressed; unpack it to .tar", "files")
    elif lower.endswith(IMAGES) and not name.endswith(tuple(end + TABLE for end in SUFFIXES)):
        left.add(name, "lies beside the shards; ssl-patches pack puts images into them")
    return False


def _remote(
    url: str, typed: str, options: Mapping[str, Any], patience: Patience, left: Aside
) -> list[Shard]:
    system, path = file_system(url, options)
    protocol = url.partition("://")[0]

    def listed() -> dict[str, Any]:
        if "*" in path:
            return system.glob(path, detail=True)
        if path.endswith(SUFFIXES):
            return {path: system.info(path)}
        return system.find(path, detail=True)

    try:
        found = patience.tried(typed, listed)
    except FileNotFoundError:
        raise ValueError(
            f"data.path={typed}: names {url}, which is not there; see whether it was moved, or name"
            " only those that are"
        ) from None
    return [
        Shard(f"{protocol}://{name}" if "://" not in name else name, about["size"], _state(about))
        for name, about in found.items()
        if _is_shard(name, left) and (about.get("size") or _empty(name, left))
    ]


def _empty(name: str, left: Aside) -> bool:
    left.add(name, "is empty", "shards")
    return False


def _state(about: Mapping[str, Any]) -> str:
    known = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
    return str(next((about[key] for key in known if about.get(key)), about["size"]))


def _content(url: str, options: Mapping[str, Any], patience: Patience) -> str | None:
    """Return the text of a small file; None where there is none."""
    try:
        if not is_remote(url):
            return read_text(url)
        system, path = file_system(url, options)
        return bytes(patience.tried(url, lambda: system.cat_file(path))).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise refused(url, error) from error


def _complete(shards: Sequence[Shard], path: str) -> None:
    """Refuse shards that count themselves and are not all there."""
    sets: dict[tuple[str, str, str], set[int]] = {}
    for shard in shards:
        if found := COUNTED.fullmatch(shard.url):
            sets.setdefault((found[1], found[3], found[4]), set()).add(int(found[2]))
    for (before, total, after), numbers in sets.items():
        missing = sorted(set(range(int(total))) - numbers)
        if missing and "*" not in path and "{" not in path:
            raise ValueError(
                f"data.path={path}: {before}{missing[0]:0{len(total)}}-of-{total}{after} is missing"
                f" ({len(missing)} such); fetch it, or name those that are there with a pattern"
            )


def _changed(url: str) -> int:
    """Return when a file was changed last, in ns, by the time that no program can set back.

    0 where it has to be fetched.
    """
    return 0 if is_remote(url) else os.stat(url).st_ctime_ns


def _as_listed(shards: Sequence[Shard], text: str, path: str, *, written: int) -> list[Shard]:
    """Check shards against the list that was ``written`` after them, in ns."""
    try:
        said = {row["name"]: row for row in parse_json(text)["shards"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"data.path={path}: {LISTED} is damaged ({error}); write it again with ssl-patches pack"
        ) from None
    there = {shard.name for shard in shards}
    if "*" not in path and not BRACES.search(path) and not path.endswith(SUFFIXES):
        for name in sorted(set(said) - there):
            raise ValueError(
                f"data.path={path}: {name} is listed in {LISTED} and is not there; fetch it, or"
                " write it again with ssl-patches pack"
            )
    for shard in shards:
        listed = said.get(shard.name)
        if listed and listed["bytes"] != shard.bytes:
            raise ValueError(
                f"data.path={path}: {shard.name} has {shard.bytes:,} bytes, {LISTED} says"
                f" {listed['bytes']:,}: it is cut short or another one; fetch it again, or write it"
                " again with ssl-patches pack"
            )
    return [
        replace(shard, sha256=said.get(shard.name, {}).get("sha256"), changed=at * (at >= written))
        for shard, at in ((shard, _changed(shard.url)) for shard in shards)
    ]


def listed_text(rows: Sequence[Mapping[str, Any]], **about: Any) -> str:
    """Return what ``shards.json`` holds for some shards."""
    return json.dumps({**about, "shards": list(rows)}, indent=1) + "\n"
