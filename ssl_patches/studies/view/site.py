"""Answer what a browser asks for: an address is looked up among what was found, and made anew.

No part of an address becomes a path: a run is a number in a list, a picture a name in a table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.evaluation.duplicates.thumbnails import data_address
from ssl_patches.studies.compare import report as compare_report
from ssl_patches.studies.view import pages
from ssl_patches.studies.view.colourings import colourings
from ssl_patches.studies.view.found import (
    FIGURES,
    Shown,
    figure_files,
    has_encoder,
    picture_bytes,
)
from ssl_patches.studies.view.jobs import Computation, Computations
from ssl_patches.studies.view.report import Compared
from ssl_patches.studies.view.request import ViewRequest

if TYPE_CHECKING:  # maps load timm: seconds that the other pages need not wait for
    from ssl_patches.studies.view.mapping import Near, RunMap

LARGEST_MB = 64  # of a dropped image
OWN = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
OWN += "; frame-ancestors 'none'"
REPORT = "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
REPORT += "; script-src 'unsafe-inline' 'unsafe-eval'"
"""Why: the report carries its scripts, and Vega compiles expressions; nothing may be loaded, and
the sandbox keeps it from the other pages."""
HTML, JSON = "text/html; charset=utf-8", "application/json"
HERE = Path(__file__).parent
STATIC = {
    "page.css": (Path(compare_report.__file__).parent / "page.css", "text/css"),
    "view.css": (HERE / "view.css", "text/css"),
    "map.js": (HERE / "map.js", "text/javascript"),
}


class Reply(NamedTuple):
    """What is sent back: ``body`` of the kind ``kind`` under the rules ``policy``."""

    status: int
    kind: str
    body: bytes
    policy: str = OWN


def make_map(run: Path, request: ViewRequest, job: Computation[RunMap]) -> RunMap:
    """Make the map of a run, as ``mapping.run_map`` does; loaded when one is asked for."""
    job.begin("loading what reads images")
    from ssl_patches.studies.view.mapping import run_map

    return run_map(run, request, job)


@dataclass(frozen=True)
class Site:
    """Everything that is served below ``root``, the address that begins with the key."""

    root: str
    place: Shown
    request: ViewRequest
    jobs: Computations
    report: Compared

    def get(self, parts: Sequence[str]) -> Reply:
        """Answer a GET of the address ``root`` + "/".join(parts)."""
        match list(parts):
            case [] | [""]:
                return self._front()
            case [name] if name in STATIC:
                file, kind = STATIC[name]
                return Reply(200, f"{kind}; charset=utf-8", file.read_bytes())
            case ["report"] if not self.place.single:
                try:
                    return Reply(200, HTML, _encoded(self.report.page()), REPORT)
                except ValueError as error:
                    return self._error(404, str(error))
            case ["run", number, *rest] if number in self._numbers():
                return self._of_run(int(number), rest)
        return self._error(404, "There is no such page.")

    def post(self, parts: Sequence[str], body: bytes) -> Reply:
        """Answer a POST: an image that was dropped on the map of a run."""
        match list(parts):
            case ["run", number, "near"] if number in self._numbers():
                found = self._map(int(number)).result
                return (
                    _told(409, error="open the map first") if found is None else _near(found, body)
                )
        return self._error(404, "There is no such page.")

    def _numbers(self) -> set[str]:
        return {str(number) for number in range(len(self.place.runs))}

    def _front(self) -> Reply:
        if self.place.single:
            return self._of_run(0, [""])
        part = self.report.html(self.root)
        return _html(pages.folder_page(self.root, self.place, part))

    def _of_run(self, number: int, parts: Sequence[str]) -> Reply:
        run = self.place.runs[number]
        match list(parts):
            case [""]:
                said = "" if has_encoder(run) else no_encoder(run)
                return _html(pages.run_page(self.root, self.place, number, map_said=said))
            case [folder, name] if folder == FIGURES:
                file = figure_files(run).get(name)
                content = None if file is None else picture_bytes(file)
                return (
                    self._error(404, "There is no such picture.")
                    if content is None
                    else Reply(200, "image/png", content)
                )
            case ["map"]:
                page = pages.map_page(self.root, self.place, number, largest_mb=LARGEST_MB)
                return _html(page)
            case ["points"]:
                return _points(self._map(number))
            case [what, point] if what in ("thumb", "near") and point.isascii() and point.isdigit():
                found = self._map(number).result
                if found is not None and len(point) < 9 and int(point) < len(found.points.names):
                    return _of_point(found, what, int(point))
        return self._error(404, "There is no such page.")

    def _map(self, number: int) -> Computation[RunMap]:
        run = self.place.runs[number]
        return self.jobs.ask(
            number, self.place.name(number), lambda job: make_map(run, self.request, job)
        )

    def _error(self, status: int, said: str) -> Reply:
        page = pages.error_page(self.root, "Not found", said)
        return Reply(status, HTML, _encoded(page))


def no_encoder(run: Path) -> str:
    """Say that a run has no encoder yet, and what gives it one."""
    return (
        f"{run} has no encoder (not finished, or export=none); give it one: ssl-patches export"
        f" model={run} output={run / 'encoder'}"
    )


def _encoded(page: str) -> bytes:
    return page.encode("utf-8", "backslashreplace")  # names of files may be no text


def _html(page: str) -> Reply:
    return Reply(200, HTML, _encoded(page))


def _told(status: int, **content: Any) -> Reply:
    return Reply(status, JSON, json.dumps(content).encode())


def _points(job: Computation[RunMap]) -> Reply:
    found = job.result
    if found is None:
        return _told(
            200,
            state=job.state,
            doing=job.doing,
            done=job.done,
            total=job.total,
            left=job.seconds_left(),
            error=job.error,
        )
    points = found.points
    images = f"{len(points.names):,} of {points.total:,} training images of {found.name}"
    if len(points.names) < points.total:
        images += ", drawn at random; images=N takes more"
    return _told(
        200,
        state="done",
        places=[round(float(one), 4) for one in points.places.reshape(-1)],
        names=points.names,
        by=[vars(one) for one in colourings(points)],
        notes=[images, *found.notes],
    )


def _of_point(found: RunMap, what: str, point: int) -> Reply:
    if what == "thumb":
        return Reply(200, "image/webp", found.points.thumbnails[point])
    return _told(200, **_neighbours(found.near(point)))


def _near(found: RunMap, body: bytes) -> Reply:
    try:
        pixels, near, place = found.near_image(body)
    except UnreadableImage as error:
        return _told(422, error=str(error))
    return _told(200, place=place, image=data_address(pixels), **_neighbours(near))


def _neighbours(near: Near) -> dict[str, Any]:
    return {"which": near.which, "cosines": [round(one, 3) for one in near.cosines]}
