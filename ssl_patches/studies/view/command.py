"""Run ``ssl-patches view``: say the address, serve until ctrl-C."""

from __future__ import annotations

from threading import Timer

from ssl_patches.config.messages import Say
from ssl_patches.config.plain_text import in_lines, tell
from ssl_patches.studies.view.found import Shown, figure_files, find_shown, has_encoder
from ssl_patches.studies.view.jobs import Computations
from ssl_patches.studies.view.report import Compared
from ssl_patches.studies.view.request import ViewRequest
from ssl_patches.studies.view.server import new_key, serving
from ssl_patches.studies.view.site import Site, no_encoder


def view_command(request: ViewRequest, *, say: Say) -> int:
    """Serve the pages of a run or a folder of runs until ctrl-C, and return the exit code.

    ValueError for a place that holds no run, or a run that has nothing to show.
    """
    place = find_shown(request.place)
    _refuse_nothing_to_show(place, say)
    jobs, key = Computations(say), new_key()
    site = Site(f"/{key}/", place, request, jobs, Compared(place))
    with serving(site, key=key, port=request.cfg["port"]) as address:
        tell(address)
        say("open it in a browser of this machine; ctrl-C ends it")
        if request.cfg["seconds"] is not None:
            timer = Timer(request.cfg["seconds"], jobs.stop)
            timer.daemon = True
            timer.start()
        try:
            jobs.work()
        except KeyboardInterrupt:
            say(in_lines(["", "view: ended"]))
    return 0


def _refuse_nothing_to_show(place: Shown, say: Say) -> None:
    """Say that a run has no map yet. ValueError where it has no pictures either."""
    run = place.runs[0]
    if place.single and not has_encoder(run):
        if not figure_files(run):
            raise ValueError(f"view {run}: has no pictures yet, and no map: {no_encoder(run)}")
        say(f"no map: {no_encoder(run)}")
