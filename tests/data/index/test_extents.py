"""Headers of many files are read in order, whoever reads them."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from plain_files import FILES

from ssl_patches.cli.failures import of_the_machine
from ssl_patches.data.glance import BEGIN, glances
from ssl_patches.data.index import extents
from ssl_patches.data.index.extents import by_folder, extents_of


@pytest.mark.parametrize("many", [1, 10**9])
def test_parts_come_in_their_order_from_processes_and_from_threads(
    tmp_path, monkeypatch, many
) -> None:
    monkeypatch.setattr(extents, "MANY", many)
    monkeypatch.setattr(extents, "AHEAD", 2)
    monkeypatch.setattr(extents, "cores", lambda: 2)
    names = [*FILES] * 3
    for at, name in enumerate(names):
        (tmp_path / f"{at} {name}").write_bytes(FILES[name])
    (tmp_path / "0 bad.png").write_bytes(b"no image")
    os.mkfifo(tmp_path / "pipe.png")
    paths = [str(tmp_path / f"{at} {name}") for at, name in enumerate(names)]
    parts = [paths[:7], [str(tmp_path / "0 bad.png"), str(tmp_path / "gone.png")], paths[7:]]
    parts.append([str(tmp_path / "pipe.png")])
    found = list(extents_of(map(by_folder, parts), count=len(paths) + 3, channels=3))
    assert [len(looked.extents) for looked in found] == [7, 2, len(paths) - 7, 1]
    assert all((looked.extents == [37, 23]).all() for looked in (found[0], found[2]))
    assert [damaged.passing for damaged in found[1].damaged.values()] == [False, True]
    assert list(found[3].damaged) == [0]


@pytest.mark.parametrize("name", FILES)
def test_a_file_after_a_plain_png_is_known_at_a_glance_as_it_is_alone(tmp_path, name: str) -> None:
    """Of a plain PNG little is read, and the next file is one as a rule."""
    (tmp_path / name).write_bytes(FILES[name])
    (tmp_path / "first.png").write_bytes(FILES["rgb.png"])
    here = os.open(tmp_path, os.O_RDONLY)
    (alone,), (first, second, third) = (
        extents._begins(names, here) for names in ([name], ["first.png", name, name])
    )
    os.close(here)
    assert glances([second, third]).tolist() == glances([alone, alone]).tolist()
    assert glances([first]).tolist() == [[37, 23]]
    assert alone == FILES[name][:BEGIN]


def test_what_cannot_be_read_has_no_beginning(tmp_path) -> None:
    (tmp_path / "first.png").write_bytes(FILES["rgb.png"])
    (tmp_path / "folder.png").mkdir()
    here = os.open(tmp_path, os.O_RDONLY)
    found = extents._begins(["first.png", "gone.png", "folder.png", ""], here)
    os.close(here)
    assert [len(begin) > 0 for begin in found] == [True, False, False, False]


def _killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are threads")
def test_a_process_that_is_killed_is_told_in_one_line(monkeypatch) -> None:
    monkeypatch.setattr(extents, "MANY", 1)
    monkeypatch.setattr(extents, "cores", lambda: 2)
    with extents.pool(2) as workers, pytest.raises(RuntimeError) as told:
        list(extents.results_in_order(workers, [1, 2], _killed))
    assert "reads the headers of images was killed" in str(of_the_machine(told.value))
