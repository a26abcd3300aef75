"""A kept table is read back as it was, or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data.index.kept import keep, open_kept, remember, remembered
from ssl_patches.data.index.lists import listed_table
from ssl_patches.data.index.table import COLUMNS, FileTable
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.look import Mark


def table(root: Path, names: list[str], **known: object) -> FileTable:
    made = listed_table(names, str(root), channels=3)
    made.columns = {
        name: made.columns.get(name, np.zeros(len(names), kind)) for name, kind in COLUMNS.items()
    }
    made.__dict__.update(known)
    return made


@pytest.mark.parametrize("names", [[], ["a/1.png", "a/\udcfe.png", "ä.png", "b/c/x" * 30]])
def test_what_is_kept_comes_back(tmp_path, names) -> None:
    left = [LeftOut(3, "files", "x.nef", "why")]
    made = table(
        tmp_path,
        names,
        left=left,
        looked={"a/": Mark(b"\x00\xff", 3, (1, 2, 3)), "b/": None},
        others=2,
        state="now",
    )
    found = keep(made, tmp_path / "kept.index", "key")
    assert found is not None
    assert found.names_between(0, len(found)) == names
    for name in COLUMNS:
        assert np.array_equal(found.columns[name], made.columns[name]), name
    for name in ("folders", "reasons", "looked", "others", "left", "state"):
        assert getattr(found, name) == getattr(made, name), name
    assert open_kept(tmp_path / "kept.index", "another key") is None


def test_a_file_cut_anywhere_is_not_read(tmp_path) -> None:
    place = tmp_path / "kept.index"
    assert keep(table(tmp_path, ["a.png", "b.png"]), place, "key") is not None
    whole = place.read_bytes()
    for end in range(0, len(whole), 7):
        place.write_bytes(whole[:end])
        assert open_kept(place, "key") is None, end


def test_another_process_maps_it_again_and_notices_another_one(tmp_path) -> None:
    place = tmp_path / "kept.index"
    found = keep(table(tmp_path, [f"{at}.png" for at in range(5000)]), place, "key")
    assert found is not None
    found.root = "as/typed"
    sent = pickle.dumps(found)
    assert len(sent) < 500
    again = pickle.loads(sent)
    assert (again.path(4999), len(again)) == ("as/typed/4999.png", 5000)
    assert keep(table(tmp_path, ["other.png"]), place, "key") is not None
    assert found.name(4999) == "4999.png"
    with pytest.raises(ValueError, match=r"data\.root: .* was replaced .* start it again"):
        pickle.loads(sent)


def test_hashes_are_kept_for_a_state_that_is_known(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    remember("", "part", {"names": "1"})
    remember("now", "part", {"names": "2"})
    assert [remembered(*key) for key in (("", "part"), ("now", "part"), ("now", "other"))] == [
        {},
        {"names": "2"},
        {},
    ]


def test_tables_of_folders_that_are_gone_are_deleted(tmp_path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there", "gone"):
        keep(table(tmp_path / name, ["a.png"]), tmp_path / f"{name}.index", "key")
    keep(table(tmp_path, ["a.png"]), tmp_path / "new.index", "key")
    assert sorted(path.name for path in tmp_path.glob("*.index")) == ["new.index", "there.index"]
