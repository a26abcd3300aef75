"""Read and write a folder of an object store through fsspec: tried patiently, then named.

The trap: a file system of fsspec holds threads and sockets, which another process cannot use. Each
process makes its own, at its first request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ssl_patches.config.atomic import create_text, replacing, write_text
from ssl_patches.data.shards.listing import file_system
from ssl_patches.data.shards.patience import Patience, Words, within

KEY = "ray.store"
"""The setting that names a store."""
RATE = 2**20  # bytes a second, the slowest line that is waited for
Result = TypeVar("Result")


class ObjectStore:
    """A folder of an object store. Names are paths in it.

    ``url``: such as ``s3://bucket/folder``. ``options``: of fsspec's file system. Each method
    raises ValueError where the store refuses or does not answer, with what to do.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.url, self.options = url.rstrip("/"), dict(options or {})
        self.patience = Patience(words=Words(KEY, public="", longer=""))

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without the connection."""
        return ObjectStore, (self.url, self.options)

    def open(self) -> None:
        """Make what reads it; nothing is asked yet. TypeError for options that it has not."""
        _ = self._opened

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        system, root = file_system(self.url, self.options, KEY)
        return system, root.rstrip("/")

    @property
    def _on_disk(self) -> bool:
        return "file" in self._opened[0].protocol

    def _ask(self, work: Callable[[Any, str], Result], name: str = "", *, size: int = 0) -> Result:
        """Return what ``work`` returns of the file system and the path of a name; ``size``: bytes
        that come or go."""
        system, root = self._opened
        patience = replace(self.patience, timeout=self.patience.timeout + size / RATE)
        return patience.tried(self.url, lambda: work(system, f"{root}/{name}".rstrip("/")))

    def sizes(self, below: str = "") -> dict[str, int]:
        """Map each name below a folder to its bytes."""
        root = self._opened[1]
        found = self._ask(lambda system, path: system.find(path, detail=True), below)
        return {path[len(root) + 1 :]: about["size"] for path, about in found.items()}

    def put(self, file: Path, name: str) -> None:
        """Write a file under a name."""
        self._folder(name)
        size = file.stat().st_size
        self._ask(lambda system, path: system.put_file(str(file), path), name, size=size)

    def get(self, name: str, file: Path, *, size: int = 0) -> bool:
        """Fetch what has a name, of ``size`` bytes, to a file; tell whether it was there."""

        def fetched(system: Any, path: str) -> None:
            with replacing(file) as aside:
                system.get_file(path, str(aside))

        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._ask(fetched, name, size=size)
        except FileNotFoundError:
            return False
        return True

    def write(self, name: str, text: str) -> None:
        """Write a text under a name."""
        self._folder(name)
        if self._on_disk:  # where a reader must not see half of it; object stores show wholes
            self._ask(lambda _, path: write_text(Path(path), text), name)
        else:
            self._ask(lambda system, path: system.pipe_file(path, text.encode()), name)

    def create(self, name: str, text: str) -> bool:
        """Write a text under a name that is free; tell whether it lies there.

        A conditional write, where the store has it. ValueError where nothing can be written.
        """
        self._folder(name)
        system, root = self._opened
        path = f"{root}/{name}"

        def created() -> None:
            if self._on_disk:  # fsspec's own looks first and writes then
                create_text(Path(path), text)
            else:
                system.pipe_file(path, text.encode(), mode="create")

        try:
            within(self.patience.timeout, created)
        except FileNotFoundError:
            raise
        except Exception:  # taken, an answer that was lost, or a store without such a condition
            if self.read(name) is None:
                self.write(name, text)
        return self.read(name) == text

    def read(self, name: str) -> str | None:
        """Return the text under a name; None where there is none."""
        try:
            found = self._ask(lambda system, path: system.cat_file(path), name)
        except FileNotFoundError:
            return None
        return bytes(found).decode(errors="replace")

    def modified(self, name: str) -> datetime:
        """Return when a name was written, by the store's clock. FileNotFoundError without it."""
        return self._ask(lambda system, path: system.modified(path), name)

    def remove(self, *names: str) -> None:
        """Delete names; one that is gone already is no error."""
        for name in names:
            with suppress(FileNotFoundError):
                self._ask(lambda system, path: system.rm_file(path), name)

    def _folder(self, name: str) -> None:
        """Make the folder of a name on a disk; object stores have none."""
        if self._on_disk:
            above = os.path.dirname(name)
            self._ask(lambda system, path: system.makedirs(path, exist_ok=True), above)
