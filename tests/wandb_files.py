"""Read the file that an offline run of W&B leaves: the client's own records, one after the other.

The client writes them in the log format of LevelDB behind a header of 7 bytes: blocks of 32 KiB, a
record in pieces of checksum (4 bytes), length (2), kind (1: whole, 2: first, 3: middle, 4: last).
Records are parsed by the client's own class.
"""

from __future__ import annotations

import json
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 32768


def chunks(data: bytes) -> Iterator[bytes]:
    at, kept = 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        kept += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield kept
            kept = b""


def written_out(file: Path, seconds: float = 60) -> list[Any]:
    """The records of a run that has ended: W&B's process writes them out a moment after that."""
    from wandb.proto.wandb_internal_pb2 import Record

    until = time.monotonic() + seconds
    while True:
        records = [Record.FromString(chunk) for chunk in chunks(file.read_bytes())]
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        assert time.monotonic() < until, f"{file} has no end after {seconds} s"
        time.sleep(0.05)


class Written:
    """What one offline run holds."""

    def __init__(self, run_dir: Path) -> None:
        (self.file,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
        self.records = written_out(self.file)
        self.kinds = Counter(record.WhichOneof("record_type") for record in self.records)
        (self.run, *_) = self.of("run")

    def of(self, kind: str) -> list[Any]:
        return [
            getattr(record, kind)
            for record in self.records
            if record.WhichOneof("record_type") == kind
        ]

    def config(self) -> dict[str, Any]:
        found = {item.key: json.loads(item.value_json) for item in self.run.config.update}
        for record in self.of("config"):
            found |= {item.key: json.loads(item.value_json) for item in record.update}
        return found

    def tags(self) -> set[str]:
        return {tag for run in self.of("run") for tag in run.tags}

    def history(self) -> list[dict[str, Any]]:
        return [
            {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in row.item
            }
            for row in self.of("history")
        ]

    def summary(self) -> dict[str, Any]:
        return {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for record in self.of("summary")
            for item in record.update
        }
