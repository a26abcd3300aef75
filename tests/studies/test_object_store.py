"""A folder of an object store, here in memory and on the disk: what is not there, what is taken."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from ssl_patches.data.shards import patience
from ssl_patches.studies.object_store import ObjectStore

pytest.importorskip("fsspec", reason="needs ssl-patches[shards]")


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path) -> ObjectStore:
    where = "memory://" if request.param == "memory" else "file://"
    return ObjectStore(f"{where}{tmp_path}/store/")


def test_what_is_written_is_read_in_another_process_too(store, tmp_path) -> None:
    file = tmp_path / "given"
    file.write_bytes(b"content")
    store.put(file, "a/b/file")
    store.write("a/text", "words")
    other = pickle.loads(pickle.dumps(store))
    assert other.sizes("a") == {"a/b/file": 7, "a/text": 5}
    assert other.get("a/b/file", tmp_path / "new" / "fetched")
    assert (tmp_path / "new" / "fetched").read_bytes() == b"content"
    assert other.read("a/text") == "words"


def test_what_is_not_there_is_none_and_leaves_no_file(store, tmp_path) -> None:
    assert store.sizes() == {}
    assert store.read("a") is None
    assert not store.get("a", tmp_path / "fetched")
    assert list(tmp_path.glob("*fetched*")) == []
    store.remove("a")


def test_a_name_is_given_once(store) -> None:
    assert store.create("mark", "mine")
    assert not store.create("mark", "yours")
    assert store.read("mark") == "mine"


def test_a_later_write_is_later_by_the_stores_clock(store) -> None:
    store.write("first", "1")
    store.write("second", "2")
    assert store.modified("first") <= store.modified("second")


def test_a_store_without_conditional_writes_keeps_the_name_as_well(tmp_path, monkeypatch) -> None:
    store = ObjectStore(f"memory://{tmp_path}/store")
    system, _ = store._opened
    plain = system.pipe_file

    def without(path: str, value: bytes, mode: str = "overwrite") -> None:
        if mode != "overwrite":
            raise NotImplementedError
        plain(path, value)

    monkeypatch.setattr(system, "pipe_file", without, raising=False)
    assert store.create("mark", "mine")
    assert not store.create("mark", "yours")


def test_what_fails_names_the_setting_and_no_setting_of_the_data(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0)
    store = ObjectStore(f"file://{tmp_path}/store")
    (tmp_path / "store").write_text("a file where the folder is to be")
    with pytest.raises(ValueError, match=r"ray\.store=file://.*cannot be read") as found:
        store.write("a/b", "text")
    assert "data." not in str(found.value)


def test_without_its_library_it_is_said_what_to_install() -> None:
    with pytest.raises(ValueError, match=r"ray\.store=|Protocol not known"):
        ObjectStore("nothing-known://bucket").open()


def test_a_large_file_is_given_more_time(store, tmp_path: Path, monkeypatch) -> None:
    given: list[float] = []
    real = patience.within
    monkeypatch.setattr(
        patience, "within", lambda seconds, work: given.append(seconds) or real(seconds, work)
    )
    file = tmp_path / "large"
    file.write_bytes(bytes(3 * 2**20))
    store.put(file, "large")
    assert max(given) == store.patience.timeout + 3
