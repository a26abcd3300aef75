"""As much of W&B's server as its own client asks for, on loopback: runs, their rows and files,
artifacts, alerts and sweeps are kept in memory. It takes one made-up key.

Three ways lead to it: GraphQL, where questions are told apart by the name of their operation; the
file stream, in which rows, summary and console lines come; and uploads to addresses that GraphQL
gave. What is not known is answered as a server that is older than the client does, and kept in
``unknown``.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from wandb_sweeps import Sweep

KEY = "k" * 40
NEWER = {"OrganizationCoreWeaveOrganizationID", "ArtifactType"}
"""Questions of the client that an older server cannot answer, and without which it goes on."""


@dataclass
class Run:
    """A run: what it was said to be, rows and files in the order in which they came."""

    name: str
    said: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    console: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        """Settings by name."""
        return {key: each["value"] for key, each in json.loads(self.said["config"]).items()}

    def asked_to_resume(self) -> dict[str, Any]:
        """What a client gets that goes on with this run."""
        tail = json.dumps([json.dumps(row) for row in self.rows[-1:]])
        return {
            "id": self.name,
            "name": self.name,
            "displayName": self.said.get("displayName"),
            "summaryMetrics": json.dumps(self.summary),
            "config": self.said["config"],
            "tags": self.said.get("tags") or [],
            "notes": None,
            "logLineCount": len(self.console),
            "historyLineCount": len(self.rows),
            "eventsLineCount": 0,
            "historyTail": tail,
            "eventsTail": "[]",
            "wandbConfig": json.dumps({"t": self.config["_wandb"]["t"]}),  # of one that has begun
        }


@dataclass
class Artifact:
    """An artifact: what was asked to make it, its files by name, and of which run it is."""

    asked: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    committed: bool = False

    @property
    def name(self) -> str:
        """Its name, without a version."""
        return self.asked["artifactCollectionName"]

    @property
    def metadata(self) -> dict[str, Any]:
        """What it says about itself."""
        return json.loads(self.asked["metadata"])


class Server:
    """What the server holds, and how it fails: ``status`` for every answer, or none (``silent``).

    ``asked``: names of operations and other requests, in order. ``after``: what happens once one
    was answered.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.asked: list[str] = []
        self.unknown: list[str] = []
        self.places: dict[str, Callable[[bytes], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.status = 200
        self.silent = False
        self.let_go = threading.Event()
        self.address = ""

    def upload_to(self, keep: Callable[[bytes], None]) -> str:
        """Return an address that takes a file."""
        place = f"/upload/{len(self.places)}"
        self.places[place] = keep
        return self.address + place

    def of_type(self, kind: str) -> list[Artifact]:
        """Artifacts of a type."""
        return [each for each in self.artifacts.values() if each.asked["artifactTypeName"] == kind]


class Handler(BaseHTTPRequestHandler):
    """Answer one request from ``self.server.held``."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        held: Server = self.server.held  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if held.silent:
            held.let_go.wait()
            self.close_connection = True
            return None
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


def stream(run: Run, sent: dict[str, Any]) -> None:
    """Take rows, the summary and lines of the console at the place where they belong."""
    for name, part in (sent.get("files") or {}).items():
        lines, at = part["content"], part["offset"]
        if name == "wandb-history.jsonl":
            run.rows[at:] = [json.loads(line) for line in lines]
        elif name == "wandb-summary.json":
            run.summary = json.loads(lines[-1])
        elif name == "output.log":
            run.console[at:] = lines
    if sent.get("complete"):
        run.exits.append(sent["exitcode"])


def viewer(_: Server, __: dict) -> dict:
    user = {"id": "U", "name": "me", "username": "me", "entity": "me", "email": "me@example.org"}
    edges: dict[str, list] = {"edges": []}
    more = {"admin": False, "deletedAt": None, "flags": "{}", "teams": edges, "apiKeys": edges}
    return {"viewer": {**user, **more}}


def project(given: dict) -> dict:
    name = given.get("project") or given.get("projectName") or "uncategorized"
    entity = given.get("entity") or given.get("entityName") or "me"
    return {"id": "P", "internalId": "1", "name": name, "entity": {"id": "E", "name": entity}}


def resume(held: Server, given: dict) -> dict:
    run = held.runs.get(given["name"])
    return {"model": {**project(given), "bucket": run.asked_to_resume() if run else None}}


def upsert_run(held: Server, given: dict) -> dict:
    name = given["name"]
    new = name not in held.runs
    run = held.runs.setdefault(name, Run(name))
    run.said |= {key: value for key, value in given.items() if value is not None}
    bucket = {"id": name, "name": name, "displayName": run.said.get("displayName", name)}
    bucket |= {"description": "", "config": run.said.get("config"), "project": project(given)}
    bucket |= {"sweepName": run.said.get("sweep"), "historyLineCount": len(run.rows)}
    return {"upsertBucket": {"bucket": bucket, "inserted": new}}


def run_files(held: Server, given: dict) -> dict:
    files = held.runs[given["run"]].files
    made = [
        {"name": name, "uploadUrl": held.upload_to(lambda body, at=name: files.update({at: body}))}
        for name in given["files"]
    ]
    return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": made}}


def alert(held: Server, given: dict) -> dict:
    held.runs[given["runName"]].alerts.append(given)
    return {"notifyScriptableRunAlert": {"success": True}}


def make_artifact(held: Server, given: dict) -> dict:
    name = f"A{len(held.artifacts)}"
    held.artifacts[name] = Artifact(given)
    made = {"id": name, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
    return {"createArtifact": {"artifact": made}}


def manifest(held: Server, given: dict) -> dict:
    files = held.artifacts[given["artifactID"]].files
    address = held.upload_to(lambda body: files.update({given["name"]: body}))
    file = {"id": "F", "uploadUrl": address, "uploadHeaders": []}
    made = {"id": given["artifactID"], "file": file}
    return {"createArtifactManifest": {"artifactManifest": made}}


def artifact_files(held: Server, given: dict) -> dict:
    edges = []
    for asked in given["artifactFiles"]:
        files = held.artifacts[asked["artifactID"]].files
        keep = lambda body, files=files, at=asked["name"]: files.update({at: body})  # noqa: E731
        node = {"storagePath": asked["name"], "uploadUrl": held.upload_to(keep)}
        node |= {"uploadHeaders": [], "uploadMultipartUrls": None}
        edges.append({"node": {**node, "artifact": {"id": asked["artifactID"]}}})
    return {"createArtifactFiles": {"files": {"edges": edges}}}


def commit(held: Server, given: dict) -> dict:
    held.artifacts[given["artifactID"]].committed = True
    return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": ""}}}


def use(held: Server, given: dict) -> dict:
    held.runs[given["runName"]].used.append(held.artifacts[given["artifactID"]].name)
    return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}


def read_artifact(held: Server, given: dict) -> dict:
    found = held.artifacts[given["id"]]
    at = {"name": found.name, "project": project(found.asked), "__typename": "ArtifactSequence"}
    about = {"__typename": "Artifact", "id": given["id"], "artifactSequence": at, "aliases": []}
    about |= {"artifactType": {"name": found.asked["artifactTypeName"]}, "versionIndex": 0}
    about |= {key: found.asked[key] for key in ("description", "metadata", "digest")}
    about |= {"ttlDurationSeconds": -2, "ttlIsInherited": True, "tags": [], "historyStep": None}
    about |= {"state": "COMMITTED", "size": 1, "fileCount": len(found.files), "commitHash": "c"}
    about |= {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": None}
    return {"artifact": {**about, "digestAlgorithm": "MANIFEST_MD5"}}


ANSWERS: dict[str, Callable[[Server, dict], dict]] = {
    "Viewer": viewer,
    "GetViewer": viewer,
    "GetDefaultEntity": viewer,
    "ServerFeaturesQuery": lambda *_: {"serverInfo": {"features": []}},
    "RunResumeStatus": resume,
    "UpsertBucket": upsert_run,
    "CreateRunFiles": run_files,
    "NotifyScriptableRunAlert": alert,
    "CreateArtifact": make_artifact,
    "CreateArtifactManifest": manifest,
    "CreateArtifactFiles": artifact_files,
    "CommitArtifact": commit,
    "UseArtifact": use,
    "ArtifactByID": read_artifact,
}


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
    places = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DIR")
    return {
        **{name: str(home) for name in places},
        "WANDB_BASE_URL": held.address,
        "NETRC": str(home / "netrc"),
        **({"WANDB_API_KEY": key} if key else {}),
    }
