"""What is kept of a folder is what a fresh listing gives, whatever happens to the folder."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from plain_files import FILES

from ssl_patches.data import FolderSource, look
from ssl_patches.data.index import kept, known, listing
from ssl_patches.data.index.kept import KeptTable
from ssl_patches.data.index.known import with_headers
from ssl_patches.data.index.listing import list_folder, one_look
from ssl_patches.data.index.table import CORRUPT, FileTable
from ssl_patches.data.index.walked import walked
from ssl_patches.data.walk import find_images

NAMES = ["a.png", "b.jpg", "c.npy", "d.PNG", "notes.txt", ".h.png", "e\udcff.png", "ä.png"]
FOLDERS = ["", "cat", "cat/old", "dog", "train", "a-b", "masks", ".hidden", "images"]
CONTENTS = [FILES["rgb.png"], FILES["rgb.jpg"], FILES["grey.png"], b"", b"no image"]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path_factory):
    """Tables of small folders are kept too, in a cache of the test, and files are at rest."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(listing, "LEAST", 1)
    monkeypatch.setattr(known, "RACY", 0)


def what(table: FileTable) -> list[object]:
    """All that a source takes from a table."""
    columns = ("sizes", "extents", "states", "suffixes", "places")
    return [
        table.names_between(0, len(table)),
        [table.name(at) for at in range(len(table))],
        *(table.columns[name].tolist() for name in columns),
        table.reasons,
        table.others,
        table.left,
    ]


def fresh(root: str) -> list[object]:
    """What a table says that knows of no other."""
    table, changed = walked(root)
    return what(with_headers(table, changed, None, 3, time.time_ns()))


def put(root: Path, path: str, content: bytes) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


STEP = st.tuples(
    st.sampled_from(
        ["write", "write", "remove", "rename", "rewrite", "swap", "hide", "rights", "move", "link"]
    ),
    st.sampled_from(FOLDERS),
    st.sampled_from(NAMES),
    st.sampled_from(FOLDERS),
    st.sampled_from(CONTENTS),
)


def change(root: Path, step: tuple[str, str, str, str, bytes]) -> None:
    """Change a folder in one way; what is not there stays so."""
    how, folder, name, other, content = step
    path, target = root / folder / name, root / other / f"new {name}"
    if how == "write":
        put(root, f"{folder}/{name}" if folder else name, content)
    elif how == "move" and folder and other not in folder and (root / folder).is_dir():
        shutil.rmtree(root / f"{folder} moved", ignore_errors=True)
        (root / folder).rename(root / f"{folder} moved")
    elif how == "link" and (root / other).is_dir() and folder != other:
        (root / "link").unlink(missing_ok=True)
        (root / "link").symlink_to(root / other)
    elif path.is_file():
        if how == "remove":
            path.unlink()
        elif how == "rename":
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        elif how == "rewrite":  # of the same length, with the time of before
            before = path.stat()
            path.write_bytes(bytes(reversed(path.read_bytes())))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif how == "swap" and (others := [one for one in path.parent.iterdir() if one != path]):
            path.replace(path.parent / "aside")
            others[0].replace(path)
            (path.parent / "aside").replace(others[0])
        elif how == "hide":  # a new name, and the folder's date set back
            before = path.parent.stat()
            path.with_name(f"0{name}").write_bytes(content)
            os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif how == "rights":
            path.chmod(0o600)


@example(rounds=[[("write", "cat", "a.png", "", CONTENTS[0])]], plain=False)
@example(rounds=[[("hide", "cat", "0.png", "", CONTENTS[0])]], plain=False)
@example(rounds=[[("rename", "cat", "0.png", "cat", b"")]], plain=False)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=st.lists(st.lists(STEP, max_size=4), min_size=1, max_size=5), plain=st.booleans())
def test_after_any_changes_the_kept_table_is_what_a_fresh_listing_gives(
    tmp_path, rounds, plain
) -> None:
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    put(root, "cat/0.png", FILES["rgb.png"])
    time.sleep(0.005)
    with pytest.MonkeyPatch.context() as patched:
        if plain:  # a file system that dates no folders, a system without statx
            patched.setattr(look, "dates_folders", lambda _: False)
            patched.setattr(look, "statuses", lambda *_: None)
        for steps in ((), *rounds):
            for step in steps:
                change(root, step)
            time.sleep(0.005)  # a tick of the file system's clock
            assert what(list_folder(str(root), channels=3)) == fresh(str(root))
            assert what(list_folder(str(root), channels=3)) == fresh(str(root))


@pytest.mark.parametrize("seed", range(4))
def test_a_table_names_the_images_that_a_walk_finds(tmp_path, seed) -> None:
    draw = random.Random(seed)
    for _ in range(60):
        path = f"{draw.choice(FOLDERS)}/{draw.choice(NAMES)}".lstrip("/")
        put(tmp_path, path, draw.choice(CONTENTS))
    found, table = find_images(str(tmp_path)), list_folder(str(tmp_path), channels=3)
    assert table.names_between(0, len(table)) == [file.path for file in found.images]
    assert table.columns["sizes"].tolist() == [file.bytes for file in found.images]
    assert (table.others, table.left) == (found.others, found.left)


@pytest.fixture
def root(tmp_path) -> Path:
    for at in range(6):
        put(tmp_path / "root", f"{'ab'[at % 2]}/{at}.png", FILES["rgb.png"])
    return tmp_path / "root"


def test_nothing_is_opened_where_nothing_changed_and_else_what_changed(root, monkeypatch) -> None:
    opened: list[str] = []
    reads = known.extents_of

    def counted(parts, **options):
        def told():
            for part in parts:
                opened.extend(
                    os.path.join(folder, name) for folder, names in part for name in names
                )
                yield part

        return reads(told(), **options)

    monkeypatch.setattr(known, "extents_of", counted)
    assert isinstance(list_folder(str(root), channels=3), KeptTable)
    assert len(opened) == 6
    list_folder(str(root), channels=3)
    assert len(opened) == 6
    put(root, "a/0.png", FILES["grey.png"])
    put(root, "b/new.png", FILES["grey.png"])
    list_folder(str(root), channels=3)
    assert opened[6:] == [str(root / "a/0.png"), str(root / "b/new.png")]


def test_files_that_were_just_written_are_not_believed(root, monkeypatch) -> None:
    monkeypatch.setattr(known, "RACY", 10**12)
    assert list_folder(str(root), channels=3).state == ""
    assert not any(list_folder(str(root), channels=3).columns["stamps"])


def test_damage_that_the_system_tells_is_not_kept_and_other_damage_is(root, monkeypatch) -> None:
    put(root, "a/bad.png", b"no image")
    before = list_folder(str(root), channels=3)
    assert (before.columns["states"] == CORRUPT).sum() == 1
    assert before.state

    def failing(opens):
        def opened(path, *args, **options):
            if str(path).endswith("0.png"):
                raise OSError(5, "Input/output error")
            return opens(path, *args, **options)

        return opened

    put(root, "a/0.png", FILES["grey.png"])
    with monkeypatch.context() as broken:
        broken.setattr("builtins.open", failing(open))
        broken.setattr(os, "open", failing(os.open))
        table, changed = walked(str(root))
        seen = with_headers(table, changed, None, 3, time.time_ns())
    assert (seen.columns["states"] == CORRUPT).sum() == 2
    assert seen.state == ""
    assert what(list_folder(str(root), channels=3)) == fresh(str(root))


def test_a_source_is_the_same_from_the_table_in_memory_and_from_the_kept_one(
    root, monkeypatch
) -> None:
    sources = []
    for least in (10**9, 1, 1):
        monkeypatch.setattr(listing, "LEAST", least)
        with one_look():
            pair = [FolderSource(root=str(root), split=s, image_size=8) for s in ("train", "val")]
        sources.append(
            [(list(s.paths), s.labels.tolist(), s.fingerprint(), s.kept_key()) for s in pair]
        )
    assert sources[0] == sources[1] == sources[2]


def test_a_command_looks_once_and_the_next_looks_again(root) -> None:
    with one_look():
        first = list_folder(str(root), channels=3)
        put(root, "a/9.png", FILES["rgb.png"])
        assert list_folder(str(root), channels=3) is first
    assert len(list_folder(str(root), channels=3)) == 7


def test_a_process_of_the_same_run_believes_the_table_that_the_first_found_right(
    root, monkeypatch
) -> None:
    first = list_folder(str(root), channels=3)
    asked = []
    monkeypatch.setattr(listing, "unchanged", lambda *_, **__: asked.append(1) or True)
    with monkeypatch.context() as child:
        for name, value in listing.handed().items():
            child.setenv(name, value)
        assert what(list_folder(str(root), channels=3)) == what(first)
        assert not asked
        child.setenv(listing.HANDED, "[")  # anybody's
        list_folder(str(root), channels=3)
        assert asked == [1]


@pytest.mark.parametrize("kind", ["read-only", "a file", "no home"])
def test_without_a_place_nothing_is_kept_and_nothing_said(root, monkeypatch, kind, capfd) -> None:
    if kind == "no home":
        monkeypatch.setattr(kept, "cache_folder", lambda name: None)
    else:
        place = Path(os.environ["XDG_CACHE_HOME"]) / "full"
        place.write_text("") if kind == "a file" else place.mkdir(mode=0o500)
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        if kind == "read-only" and os.geteuid() == 0:  # whom no mode stops
            monkeypatch.setattr(os, "access", lambda *_: False)
            monkeypatch.setattr(kept, "replacing", _refused)
    assert what(list_folder(str(root), channels=3)) == fresh(str(root))
    assert capfd.readouterr() == ("", "")


def _refused(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


BUILD = """
import sys, time
from ssl_patches.data.index import extents, known, listing
listing.LEAST, known.RACY, extents.PART = 1, 0, 1
look_at = known.extents_of
def slow(*args, **options):
    print("reads", flush=True)
    for each in look_at(*args, **options):
        time.sleep(float(sys.argv[2]))
        yield each
known.extents_of = slow
print(len(listing.list_folder(sys.argv[1], channels=3)))
"""


@pytest.mark.slow
def test_of_two_at_once_one_reads_and_a_killed_one_leaves_nothing_that_is_believed(root) -> None:
    def build(seconds: float) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", BUILD, str(root), str(seconds)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    killed = build(60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "reads\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    first = build(25)
    assert first.stdout is not None
    assert first.stdout.readline() == "reads\n"
    second = build(0)
    said = [process.communicate(timeout=200) for process in (first, second)]
    assert [out for out, _ in said] == ["6\n", "6\n"], said
    assert ["lists it; waiting for it" in err for _, err in said] == [False, True]
    assert what(list_folder(str(root), channels=3)) == fresh(str(root))
