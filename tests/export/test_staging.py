"""A folder appears whole or not at all."""

import os
import shutil

import pytest

from ssl_patches.export.staging import _locked, check_free, staged


def test_it_appears_at_the_end(tmp_path):
    with staged(tmp_path / "out", overwrite=False, mark="card") as folder:
        (folder / "card").write_text("1")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "card").read_text() == "1"


def test_an_error_leaves_nothing_and_what_was_there_as_it_was(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "card").write_text("old")

    def dies():
        with staged(tmp_path / "out", overwrite=True, mark="card") as folder:
            (folder / "card").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        dies()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "card").read_text() == "old"


def test_what_a_killed_process_left_goes_and_what_another_one_fills_stays(tmp_path):
    target = tmp_path / "o[u]t"
    with staged(target, overwrite=False, mark="card") as folder:
        name = folder.name
        for left in ("killed", "others", "busy", "empty", "elsewhere"):
            place = tmp_path / (name[:15] + left + ".tmp")
            place = place.with_name(f".o[u]t.0123abcd{left}.tmp") if left == "elsewhere" else place
            place.mkdir()
            for file in {"killed": ["card"], "others": ["card", "mine"]}.get(left, ["config.json"]):
                (place / file).write_text("1")
        (tmp_path / (name[:15] + "empty.tmp") / "config.json").unlink()
        busy = _locked(tmp_path / (name[:15] + "busy.tmp"))
        assert busy is not None
        with staged(tmp_path / "o[u]t", overwrite=False, mark="card") as other:
            (other / "card").write_text("1")
            assert folder.is_dir()
            left = {path.name.rpartition(".tmp")[0][15:] for path in tmp_path.iterdir()}
            assert {"others", "busy", "empty"} < left
            assert "killed" not in left
            assert (tmp_path / ".o[u]t.0123abcdelsewhere.tmp").is_dir()
            shutil.rmtree(other)
            other.mkdir()
        os.close(busy)


def test_only_a_folder_of_ours_is_replaced_and_on_request_only(tmp_path):
    (tmp_path / "file").write_text("1")
    with pytest.raises(ValueError, match="must be new or empty"):
        check_free(tmp_path, overwrite=False, mark="card")
    with pytest.raises(ValueError, match="no export"):
        check_free(tmp_path, overwrite=True, mark="card")
    with pytest.raises(ValueError, match="is a file"):
        check_free(tmp_path / "file", overwrite=True, mark="card")
    check_free(tmp_path, overwrite=True, mark="file")


def test_an_export_with_a_file_of_somebody_in_it_is_not_replaced(tmp_path):
    (tmp_path / "card").write_text('{"files": {"a.txt": "0"}}')
    (tmp_path / "a.txt").write_text("ours")
    check_free(tmp_path, overwrite=True, mark="card")
    (tmp_path / "notes.md").write_text("mine")
    with pytest.raises(ValueError, match=r"holds notes\.md, which no export wrote"):
        check_free(tmp_path, overwrite=True, mark="card")
    (tmp_path / "card").write_text("{")
    with pytest.raises(ValueError, match="holds a"):
        check_free(tmp_path, overwrite=True, mark="card")
