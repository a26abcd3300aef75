"""A run with an encoder, and a server of it in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from networks import proven_in_this_process, write

from ssl_patches.studies.view.command import Compared, Computations, Site
from ssl_patches.studies.view.found import find_shown
from ssl_patches.studies.view.request import view_request
from ssl_patches.studies.view.server import serving

KEY = "k" * 10
DATA = ("data=embedded", "data.count=48", "data.num_workers=0", "images=30")


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "encoder"
    with proven_in_this_process():
        write("vit", folder)
    return folder


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory) -> Path:
    """Maps are made once for all tests that do not ask how."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def home(cache_home, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))


@pytest.fixture
def run(write_run, encoder_folder, tmp_path) -> Path:
    """A finished run with an encoder and the pictures of a run."""
    folder = write_run(tmp_path / "run", linear_top1=40.0)
    shutil.copytree(encoder_folder, folder / "encoder")
    for name in ("health", "neighbours"):
        shutil.copy(folder / "figures" / "jigsaw.png", folder / "figures" / f"{name}.png")
    return folder


class Browser:
    """Asks a server for what lies below its address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(
        self, path: str = "", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(self.address + path, data=body, headers=named)
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except HTTPError as error:
            return error.code, dict(error.headers), error.read()


@pytest.fixture
def browse() -> Callable[..., object]:
    """``with browse(PLACE, *WORDS) as browser``: what ``ssl-patches view`` serves, in threads."""

    @contextmanager
    def served(place: Path, *words: str, site: type[Site] = Site) -> Iterator[Browser]:
        found = find_shown(place)
        jobs = Computations(lambda _: None)
        request = view_request([str(place), *(words or DATA)], config_dirs=[])
        made = site(f"/{KEY}/", found, request, jobs, Compared(found))
        worker = Thread(target=jobs.work)
        with serving(made, key=KEY, port=0) as address:
            worker.start()
            try:
                yield Browser(address)
            finally:
                jobs.stop()
                worker.join()

    return served
