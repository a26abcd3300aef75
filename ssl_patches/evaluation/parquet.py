"""Write a Parquet file over hours so that it survives a kill: chunks beside it, joined at the end.

A Parquet file has its index at its end, so half of one is nothing. Rows are therefore kept as small
files of their own in ``.FILE.parts``, each flushed and renamed when it is whole; the same request
goes on after the last of them. The file itself appears under its name in one rename, and the chunks
go.

Trap: chunks of another request (another model, other images) must not be joined with these: what
was asked for lies beside them and is compared.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ssl_patches.config.atomic import replacing, write_json
from ssl_patches.config.outside import read_json
from ssl_patches.config.run_dir import changed_settings

REQUEST = "request.json"
METADATA = "ssl_patches"
"""The key of a file's metadata that holds the request."""


def _is_ours(output: Path) -> bool:
    """Tell whether ``embed`` wrote a file: its metadata say what was asked for."""
    try:
        return METADATA.encode() in (pq.read_schema(output).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _strange(folder: Path) -> list[str]:
    """Return the names in a folder of chunks that are none of ours, sorted."""
    names = [place.name for place in folder.iterdir()] if folder.is_dir() else []
    return sorted(
        name
        for name in names
        if name != REQUEST
        and not re.fullmatch(r"\w+-\d{6}\.parquet", name)
        and not name.endswith(".half")
    )


class Chunks:
    """The chunks of ``output``, small files that are written one by one.

    ``request``: plain JSON, everything that decides what the rows are.
    """

    def __init__(
        self, output: Path, request: Mapping[str, Any], schema: pa.Schema, *, overwrite: bool
    ) -> None:
        self.output, self.folder = output, output.with_name(f".{output.name}.parts")
        self.request, self.schema, self.overwrite = (
            json.loads(json.dumps(request)),
            schema,
            overwrite,
        )

    def claim(self) -> None:
        """Get ready to write.

        ValueError when the output is in use, or when chunks of another request lie there.
        """
        if self.output.is_dir():
            raise ValueError(
                f"output={self.output}: is a folder, must be a file; set"
                f" output={self.output}/features.parquet"
            )
        if self.output.exists() and not self.overwrite:
            raise ValueError(
                f"output={self.output}: exists already; set another output, or overwrite=true"
            )
        if self.output.exists() and not _is_ours(self.output):
            raise ValueError(
                f"output={self.output}: overwrite=true replaces what embed wrote, and this is"
                " another file; set another output"
            )
        if others := _strange(self.folder):
            raise ValueError(
                f"output={self.output}: {self.folder} is no folder of embed, it holds {others[0]};"
                " set another output"
            )
        written = self.folder / REQUEST
        if written.is_file():
            try:
                before = read_json(written)
            except ValueError:  # cut off
                before = {}
            if not (changed := changed_settings(before, self.request)):
                return
            if not self.overwrite:
                key, (was, now) = next(iter(changed.items()))
                raise ValueError(
                    f"output={self.output}: {self.folder} holds an unfinished request with other"
                    f" settings ({key} was {was!r}, is {now!r}); give those to go on,"
                    " overwrite=true to start anew, or another output"
                )
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True)
            write_json(written, self.request)
        except OSError as error:
            raise ValueError(
                f"output={self.output}: cannot be written ({error.strerror}); set another output"
            ) from None

    def done(self, split: str) -> int:
        """Count the chunks of ``split`` that are whole, from the first on."""
        number = 0
        while self._part(split, number).is_file():
            number += 1
        return number

    def write(self, split: str, number: int, table: pa.Table) -> None:
        """Write one chunk; it is there when it is whole."""
        with replacing(self._part(split, number), durable=True) as half:
            pq.write_table(table, half)

    def join(self, splits: list[str]) -> int:
        """Join the chunks to ``output``, a row group each, and return the number of rows."""
        rows = 0
        with (
            replacing(self.output, durable=True, folder=self.folder) as half,
            pq.ParquetWriter(half, self.schema) as writer,
        ):
            for split in splits:
                for number in range(self.done(split)):
                    table = pq.read_table(self._part(split, number), schema=self.schema)
                    rows += len(table)
                    writer.write_table(table)
        shutil.rmtree(self.folder)
        return rows

    def _part(self, split: str, number: int) -> Path:
        return self.folder / f"{split}-{number:06d}.parquet"
