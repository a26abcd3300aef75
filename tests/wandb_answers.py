"""What a stub of W&B's server keeps in memory, and its answers to the client's questions.

GraphQL tells questions apart by the name of their operation. A question that is not known is
answered as by a server that is older than the client, and kept in ``unknown``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from wandb_sweeps import Sweep


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
        self.delay = 0.0  # seconds before each answer
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


def upsert_sweep(held: Server, given: dict) -> dict:
    name = f"sweep{len(held.sweeps)}"
    held.sweeps[name] = Sweep(name, yaml.safe_load(given["config"]))
    made = {"name": name, "project": project(given)}
    return {"upsertSweep": {"sweep": made, "configValidationWarnings": []}}


def read_sweep(held: Server, given: dict) -> dict:
    return {"project": {"sweep": held.sweeps[given["sweep"]].as_answer()}}


def agent(held: Server, given: dict) -> dict:
    return {"createAgent": {"agent": {"id": given["sweep"]}}}  # one agent for each sweep


def heartbeat(held: Server, given: dict) -> dict:
    commands = held.sweeps[given["id"]].commands(json.loads(given["runState"]))
    return {"agentHeartbeat": {"agent": {"id": given["id"]}, "commands": json.dumps(commands)}}


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
    "UpsertSweep": upsert_sweep,
    "SweepWithRuns": read_sweep,
    "CreateAgent": agent,
    "Heartbeat": heartbeat,
}
