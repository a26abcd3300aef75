"""Shards in a real object store: moto's S3 server on loopback, behind a line that fails."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from s3_server import ACCESS, moto_server, needs_moto
from shard_files import pack_images

from ssl_patches.data import ShardSource
from ssl_patches.data.module import EndlessBatches
from ssl_patches.data.order import order_of
from ssl_patches.data.shards import patience
from ssl_patches.data.training_stream import PatchDataModule

pytestmark = [pytest.mark.slow, needs_moto]


class Line(ThreadingHTTPServer):
    """Hands requests on to moto, counts reads of tar files, and fails as it is told."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.moto, self.reads, self.faults = port, Counter[str](), list[str]()
        self.always = ""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Line

    def log_message(self, *_: Any) -> None:
        pass

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.partition("?")[0].rpartition("/")[2]
        fault = ""
        if self.command == "GET" and name.endswith(".tar"):
            self.server.reads[name] += 1
            fault = self.server.faults.pop(0) if self.server.faults else self.server.always
        if fault == "silent":
            time.sleep(25)
        if fault in ("503", "403"):
            code = "SlowDown" if fault == "503" else "AccessDenied"
            content = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.answer(int(fault), {"Content-Type": "application/xml"}, content)
            return
        line = http.client.HTTPConnection("127.0.0.1", self.server.moto)
        line.request(self.command, self.path, body, dict(self.headers))
        found = line.getresponse()
        content = found.read()
        headers = {k: v for k, v in found.getheaders() if k.lower() not in HOP}
        if self.command == "HEAD":
            headers["Content-Length"] = found.getheader("Content-Length") or "0"
        self.answer(found.status, headers, content, lost=1000 if fault == "short" else 0)

    def answer(self, code: int, headers: dict[str, str], content: bytes, lost: int = 0) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - lost])
        if lost:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any


HOP = ("transfer-encoding", "connection", "content-length", "server", "date")


@pytest.fixture(scope="module")
def line() -> Any:
    with moto_server() as port:
        found = Line(port)
        yield found
        found.shutdown()


def options(line: Line, **others: Any) -> dict[str, Any]:
    return {
        "endpoint_url": f"http://127.0.0.1:{line.server_address[1]}",
        **ACCESS,
        "config_kwargs": {"retries": {"max_attempts": 1}},
        **others,
    }


@pytest.fixture(scope="module")
def bucket(line: Line, tmp_path_factory) -> Path:
    """60 images in shards of about 10, in s3://bucket/shards."""
    import s3fs

    place = pack_images(tmp_path_factory.mktemp("packed"))
    system = s3fs.S3FileSystem(**options(line), skip_instance_cache=True)
    system.mkdir("bucket")
    for path in (place / "shards").iterdir():
        if path.is_file():
            system.pipe_file(f"bucket/shards/{path.name}", path.read_bytes())
    return place


@pytest.fixture(autouse=True)
def fresh(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.reads.clear()
    line.faults, line.always = [], ""
    monkeypatch.setattr(patience, "PAUSE", 0.05)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def source(line: Line, tmp_path: Path, path: str = "s3://bucket/shards", **o: Any) -> ShardSource:
    given = {"split": "train", "image_size": 16, "mixed": 2, "timeout": 20.0, "retries": 3}
    places = {"shard_dir": str(tmp_path / "kept"), "storage_options": options(line)}
    return ShardSource(path=path, **{**given, **places, **o})


def batches(found: ShardSource, workers: int, count: int) -> list[torch.Tensor]:
    module = PatchDataModule(train=found, val=None, batch_size=8, num_workers=workers, seed=3)
    return [b.images for b in islice(module.train_dataloader(), count)]


def test_an_epoch_is_that_of_the_disk_and_reads_no_object_twice(line, bucket, tmp_path) -> None:
    near = ShardSource(
        **{"path": str(bucket / "shards"), "split": "train", "image_size": 16, "mixed": 2},
        shard_dir=str(tmp_path / "near"),
    )
    far = source(line, tmp_path)
    assert far.fingerprint() == near.fingerprint()
    assert sum(line.reads.values()) <= 1  # the tables lie beside the shards; one for its sizes
    count = len(near) // 8
    for workers in (0, 2):
        pairs = zip(batches(far, workers, count), batches(near, 0, count), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert set(line.reads.values()) == {1}
    assert len(line.reads) == len(far.blocks)


def test_slow_failing_and_truncated_reads_are_tried_again(line, bucket, tmp_path) -> None:
    line.faults = ["503", "short", "silent"]
    found = source(line, tmp_path, timeout=15.0)
    whole = [found[at][0] for at in range(len(found))]
    near = source(line, tmp_path / "other")
    assert line.faults == []
    assert all(torch.equal(a, near[at][0]) for at, a in enumerate(whole))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("503", "cannot be read .*see whether it is there and its server"),
        ("short", "cannot be read"),
        ("silent", "no answer within 15 s, 1 times; .*set data.timeout higher"),
        ("403", "may not be read .*give credentials"),
    ],
)
def test_what_goes_on_failing_is_one_line_with_a_remedy(
    line, bucket, tmp_path, fault: str, message: str
) -> None:
    line.always = fault
    with pytest.raises(ValueError, match=rf"data.path=s3://bucket/shards/\S+tar: {message}"):
        source(line, tmp_path, timeout=15.0 if fault == "silent" else 20.0, retries=0)


def test_from_a_worker_it_is_the_same_line(line, bucket, tmp_path, capsys) -> None:
    found = source(line, tmp_path, retries=0)
    line.always = "503"
    with pytest.raises(ValueError, match=r"data.path=s3://bucket/shards/\S+tar: cannot be read"):
        batches(found, 2, 9)


def test_what_is_not_there_is_named(line, bucket, tmp_path) -> None:
    for path in ("s3://bucket/nothing", "s3://none/at/all", "s3://bucket/shards/train-7.tar"):
        with pytest.raises(ValueError, match=rf"data.path={path}: .*(there are none|not there)"):
            source(line, tmp_path, path=path)


def test_a_server_that_is_gone_is_named_within_the_time_that_was_set(tmp_path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ValueError, match=r"no answer within 0.5 s, 2 times"):
            ShardSource(
                **{"path": "s3://bucket/shards", "split": "train", "image_size": 16},
                **{"timeout": 0.5, "retries": 1, "shard_dir": str(tmp_path)},
                storage_options={"endpoint_url": address, "key": "k", "secret": "s"},
            )
        assert time.monotonic() - began < 10


def test_the_next_shards_are_fetched_ahead(line, bucket, tmp_path) -> None:
    found = source(line, tmp_path)
    stream = EndlessBatches(length=len(found), batch_size=1, seed=0, order=order_of(found, 0))
    next(iter(stream))
    assert found._ahead is not None
    found._ahead.join(30)
    kept = [path for path in os.listdir(tmp_path / "kept") if path.endswith(".tar")]
    assert len(kept) >= 2 * found.mixed
