"""A commit holds what has changed and nothing else. The hub is a stub on loopback; its client is
the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hub_server
import pytest
from hub_server import Hub

from ssl_patches.export.parcel import Parcel
from ssl_patches.export.upload import send


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    with hub_server.serving() as hub:
        hub_server.use(hub, tmp_path / "cache", monkeypatch)
        yield hub


def parcel(**files: Path | bytes) -> Parcel:
    named = {name.replace("_", "."): held for name, held in files.items()}
    return Parcel("me/it", "vit", None, named, left=(), withheld=())


def test_only_what_is_new_is_in_a_commit_and_what_is_gone_is_taken_out(hub, tmp_path):
    (tmp_path / "w").write_bytes(b"weights")
    given = {"private": True, "overwrite": False}
    first = send(parcel(model_safetensors=tmp_path / "w", encoder_onnx=b"graph"), **given)
    assert (first.new, first.private) == (True, True)
    assert send(parcel(model_safetensors=b"weights", encoder_onnx=b"graph"), **given) == type(
        first
    )(first.commit, False, True)
    hub.asked.clear()
    again = send(parcel(model_safetensors=b"weights", README_md=b"---\n---\nwords"), **given)
    assert again.new
    assert not hub.asked_for("/blobs/")  # weights are compared, not sent again
    files = hub.repositories["me/it"].commits[-1][1]
    assert set(files) == {".gitattributes", "model.safetensors", "README.md"}
