"""As much of W&B's server as its own client asks for, on loopback. It takes one made-up key.

Three ways lead to it: GraphQL, the file stream, in which rows, summary and console lines come, and
uploads to addresses that GraphQL gave.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from loopback import QuietHandler
from wandb_answers import ANSWERS, Server, stream

KEY = "k" * 40
NEWER = {"OrganizationCoreWeaveOrganizationID", "ArtifactType"}
"""Questions of the client that an older server cannot answer, and without which it goes on."""


class Handler(QuietHandler):
    """Answer one request from ``self.server.held``."""

    def answer(self) -> None:
        held: Server = self.server.held  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if held.silent:
            held.let_go.wait()
            self.close_connection = True
            return None
        time.sleep(held.delay)
        if held.status != 200:
            return self.json({"errors": [{"message": "made up"}]}, held.status)
        if keep := held.places.get(self.path):
            keep(body)
            return self.json({})
        known = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
        if self.headers.get("authorization") != known:
            return self.json({"errors": [{"message": "user is not logged in"}]}, 401)
        if found := re.fullmatch("/files/[^/]+/[^/]+/([^/]+)/(file_stream)", self.path):
            stream(held.runs[found[1]], json.loads(body))
            name = found[2]
            self.json({"exitcode": None, "limits": {}})
        elif self.path == "/graphql" and body:
            asked = json.loads(body)
            (name,) = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"]).groups()  # type: ignore[union-attr]
            self.json(self.told(name, asked.get("variables") or {}))
        else:
            return self.json({}, 404)
        held.asked.append(name)
        if happens := held.after.get(name):
            happens()
        return None

    def told(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """The answer to a question of GraphQL."""
        held: Server = self.server.held  # type: ignore[attr-defined]
        if name not in ANSWERS:
            held.unknown.append(name)
            return {"data": None, "errors": [{"message": f"cannot answer {name}"}]}
        return {"data": ANSWERS[name](held, given.get("input", given))}

    def json(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Quiet(ThreadingHTTPServer):
    """Say nothing of clients that are gone."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """Serve nothing yet on loopback for the block."""
    server = Quiet(("127.0.0.1", 0), Handler)
    held = server.held = Server()  # type: ignore[attr-defined]
    held.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield held
    finally:
        held.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def met_here(held: Server, home: Path, key: str | None = KEY) -> Iterator[None]:
    """Point the client of this process to the stub, and let it forget it afterwards."""
    import wandb

    wandb.teardown()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        for name, value in environment(held, home, key).items():
            patch.setenv(name, value)
        yield
        wandb.teardown()


def environment(held: Server, home: Path, key: str | None = KEY) -> dict[str, str]:
    """What points the client to the stub, with an own home and a key or none."""
    places = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")
    return {
        **{name: str(home) for name in places},
        "WANDB_BASE_URL": held.address,
        "NETRC": str(home / "netrc"),
        **({"WANDB_API_KEY": key} if key else {}),
    }
