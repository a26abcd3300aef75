"""Chunks are written one by one, found again, and joined in order."""

import pytest

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402 (after the skip)

from ssl_patches.evaluation.parquet import Chunks  # noqa: E402

SCHEMA = pa.schema([("number", pa.int64())])


def chunks(folder, *, overwrite=False, **request):
    return Chunks(folder / "out.parquet", {"model": "a", **request}, SCHEMA, overwrite=overwrite)


def table(*numbers):
    return pa.table({"number": list(numbers)}, schema=SCHEMA)


def test_what_was_written_before_a_kill_is_found_and_joined_in_order(tmp_path):
    first = chunks(tmp_path)
    first.claim()
    first.write("train", 0, table(1, 2))
    again = chunks(tmp_path)
    again.claim()
    assert again.done("train") == 1
    again.write("train", 1, table(3))
    again.write("val", 0, table(4))
    assert again.join(["train", "val"]) == 4
    assert pq.read_table(tmp_path / "out.parquet")["number"].to_pylist() == [1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_chunks_of_another_request_are_not_joined(tmp_path):
    chunks(tmp_path).claim()
    with pytest.raises(ValueError, match="model was 'a', is 'b'"):
        chunks(tmp_path, model="b").claim()
    chunks(tmp_path, model="b", overwrite=True).claim()


def test_an_output_in_use_is_refused(tmp_path):
    (tmp_path / "out.parquet").write_text("")
    with pytest.raises(ValueError, match="exists already"):
        chunks(tmp_path).claim()


def test_overwrite_replaces_only_what_embed_wrote(tmp_path):
    (tmp_path / "out.parquet").write_text("a table of somebody")
    with pytest.raises(ValueError, match="this is another file"):
        chunks(tmp_path, overwrite=True).claim()
    (tmp_path / "out.parquet").unlink()
    folder = chunks(tmp_path).folder
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"it holds thesis\.tex"):
        chunks(tmp_path, overwrite=True).claim()
    assert (folder / "thesis.tex").read_text() == "mine"
