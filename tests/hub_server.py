"""As much of the Hugging Face hub as its own client asks for, on loopback: what is pushed is kept
in memory and served back.

Large files go by git-lfs's basic transfer, others within the commit. The hub's newer transfer, Xet,
is not here: it is a service of its own, and its client is told not to use it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import constants
from loopback import QuietHandler

WRITER, READER = "hf_" + "w" * 34, "hf_" + "r" * 34
LARGE = (".safetensors", ".onnx", ".npz", ".pt2", ".bin")


@dataclass
class Repository:
    """Its commits, the last one last: (name, files)."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit and return its name."""
        listed = sorted((name, hashlib.sha256(held).hexdigest()) for name, held in files.items())
        said = repr((len(self.commits), listed)).encode()
        self.commits.append((hashlib.sha1(said).hexdigest(), files))
        return self.commits[-1][0]

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a revision means, with its files."""
        if revision == "main":
            return self.commits[-1]
        return next((found for found in self.commits if found[0] == revision), None)


class Hub:
    """What the server holds: repositories, uploaded blobs, and what it was asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.users = {WRITER: ("me", "write"), READER: ("me", "read")}
        self.address = ""

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Put files into a repository, as somebody else would; return the commit."""
        return self.repositories.setdefault(name, Repository(private)).commit(dict(files))

    def asked_for(self, what: str) -> list[str]:
        """Paths that were asked for and contain a text."""
        return [path for _, path in self.asked if what in path]


class Handler(QuietHandler):
    """Answer one request from ``self.server.hub``."""

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined]

    @property
    def user(self) -> tuple[str, str] | None:
        return self.hub.users.get(self.headers.get("authorization", "").removeprefix("Bearer "))

    def answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.hub.asked.append((self.command, path))
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.query = parse_qs(url.query)
        for method, pattern, act in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                return act(self, *found.groups())
        return self.fail(404, "EntryNotFound", f"no route {path}")

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, content: Any, status: int = 200) -> None:
        self.send(status, json.dumps(content).encode(), Content_Type="application/json")

    def fail(self, status: int, code: str, said: str) -> None:
        body = json.dumps({"error": said}).encode()
        self.send(status, body, X_Error_Code=code, X_Error_Message=said)

    def repository(self, name: str, *, write: bool = False) -> Repository | None:
        """The repository, or None after the answer that there is none for this user."""
        found = self.hub.repositories.get(name)
        mine = self.user is not None and self.user[0] == name.partition("/")[0]
        if found is None or (found.private and not mine):
            return self.fail(404 if self.user else 401, "RepoNotFound", "Repository not found")
        if write and not (mine and self.user and self.user[1] == "write"):
            return self.fail(403, "Forbidden", f"no right to write {self.headers['authorization']}")
        return found

    def root(self) -> None:
        self.send(200)

    def whoami(self) -> None:
        if self.user is None:
            return self.fail(401, "Unauthorized", "Invalid username or password.")
        return self.json({"type": "user", "name": self.user[0], "orgs": []})

    def create(self) -> None:
        asked = json.loads(self.body)
        owner = asked.get("organization") or (self.user or ("",))[0]
        if self.user is None or self.user[1] != "write" or owner != self.user[0]:
            return self.fail(403, "Forbidden", "You don't have the rights to create a model")
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repositories:
            return self.fail(409, "Conflict", "You already created this model repo")
        private = asked.get("visibility") == "private" or asked.get("private", False)
        self.hub.add(name, {".gitattributes": b"*.safetensors lfs\n"}, private=private)
        return self.json({"url": f"{self.hub.address}/{name}"})

    def info(self, name: str, revision: str | None = None) -> None:
        if (found := self.repository(name)) is None:
            return None
        if (at := found.files(revision or "main")) is None:
            return self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = []
        for file, held in at[1].items():
            blob = hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()
            row: dict[str, Any] = {"rfilename": file, "size": len(held), "blobId": blob}
            if file.endswith(LARGE):
                sha = hashlib.sha256(held).hexdigest()
                row["lfs"] = {"sha256": sha, "size": len(held), "pointerSize": 130}
            files.append(row)
        return self.json(
            {"id": name, "sha": at[0], "private": found.private, "siblings": files, "tags": []}
        )

    def validate(self) -> None:
        head = json.loads(self.body)["content"].split("---")[1]
        if "license: nonsense" in head:
            errors = [{"message": '"license" must be one of [apache-2.0, ...]'}]
            return self.json({"errors": errors, "warnings": []}, 400)
        return self.json({"errors": [], "warnings": []})

    def preupload(self, name: str) -> None:
        if self.repository(name, write=True) is None:
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.json({"files": files})

    def batch(self, name: str) -> None:
        if self.repository(name, write=True) is None:
            return
        objects = []
        for asked in json.loads(self.body)["objects"]:
            row: dict[str, Any] = {**asked, "authenticated": True}
            if asked["oid"] not in self.hub.blobs:
                row["actions"] = {"upload": {"href": f"{self.hub.address}/blobs/{asked['oid']}"}}
            objects.append(row)
        self.json({"transfer": "basic", "objects": objects})

    def blob(self, oid: str) -> None:
        self.hub.blobs[oid] = self.body
        self.send(200)

    def commit(self, name: str) -> None:
        if (found := self.repository(name, write=True)) is None:
            return None
        lines = [json.loads(line) for line in self.body.splitlines()]
        parent = next(row["value"] for row in lines if row["key"] == "header").get("parentCommit")
        if parent and parent != found.commits[-1][0]:
            return self.fail(412, "PreconditionFailed", "A commit has happened since")
        files = dict(found.commits[-1][1])
        for row in lines:
            value = row["value"]
            if row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif row["key"] == "deletedFile":
                del files[value["path"]]
        oid = found.commit(files)
        return self.json({"commitOid": oid, "commitUrl": f"{self.hub.address}/{name}/commit/{oid}"})

    def resolve(self, name: str, revision: str, file: str) -> None:
        if (found := self.repository(name)) is None:
            return None
        if (at := found.files(revision)) is None:
            return self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file not in at[1]:
            body = b"Entry not found"
            return self.send(404, body, X_Error_Code="EntryNotFound", X_Repo_Commit=at[0])
        held = at[1][file]
        etag = f'"{hashlib.sha256(held).hexdigest()}"'
        return self.send(200, held, X_Repo_Commit=at[0], ETag=etag)


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, str, Any]] = [
    ("HEAD GET", "/?", Handler.root),
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("GET", f"/api/models/{NAME}", Handler.info),
    ("GET", f"/api/models/{NAME}/revision/(.+)", Handler.info),
    ("POST", f"/api/models/{NAME}/preupload/main", Handler.preupload),
    ("POST", f"/api/models/{NAME}/commit/main", Handler.commit),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/blobs/([0-9a-f]{64})", Handler.blob),
    ("HEAD GET", f"/{NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
]


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve an empty hub on loopback for the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = server.hub = Hub()  # type: ignore[attr-defined]
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use(hub: Hub, cache: Path, patch: pytest.MonkeyPatch, *, token: str | None = WRITER) -> None:
    """Empty a stub, and point the hub's client of this process to it, an own cache, and a token or
    none.

    Its environment variables are read once, when it is imported.
    """
    hub.repositories.clear()
    hub.asked.clear()
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": hub.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_TOKEN_PATH": str(cache / "token"),
    }.items():
        patch.setattr(constants, name, value)
    for name in ("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN"):
        patch.delenv(name, raising=False)
    if token:
        patch.setenv("HF_TOKEN", token)


def environment(hub: Hub, cache: Path, token: str = WRITER) -> dict[str, str]:
    """The same for another process, by the client's environment variables."""
    return {
        "HF_ENDPOINT": hub.address,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": token,
    }
