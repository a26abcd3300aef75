"""Compare the runs of a folder for its page: the table, and the report page in memory.

Nothing is written beside the runs, as ``ssl-patches compare`` would.
"""

from __future__ import annotations

from threading import Lock

from ssl_patches.config.keys import files_state
from ssl_patches.config.run_dir import SUMMARY
from ssl_patches.studies.compare.command import can_draw
from ssl_patches.studies.compare.comparison import Comparison, compare_runs
from ssl_patches.studies.compare.table import render
from ssl_patches.studies.view.found import Shown
from ssl_patches.studies.view.pages import html_text

MISSING = "the report page needs altair and vl-convert-python: pip install 'ssl-patches[report]'"


class Compared:
    """The comparison of the runs of a place, made anew when one of them finishes."""

    def __init__(self, place: Shown) -> None:
        self._place, self._lock = place, Lock()
        self._comparison: Comparison | None = None
        self._state = self._page = self._error = ""

    def html(self, root: str) -> str:
        """Return the comparison as a part of a page: the table, and a link to the report."""
        with self._lock:
            self._look()
            if self._comparison is None:
                return f"<p>{html_text(self._error)}</p>"
            table = f'<div class="wide"><pre>{html_text(render(self._comparison))}</pre></div>'
        if not can_draw():
            return f'{table}<p class="note">No charts: {html_text(MISSING)}</p>'
        return (
            f'<p><a class="button" href="{root}report">Open the report</a> charts, pairs</p>{table}'
        )

    def page(self) -> str:
        """Return the report page. ValueError where it cannot be made."""
        with self._lock:
            self._look()
            if self._comparison is None or not can_draw():
                raise ValueError(self._error or MISSING)
            if not self._page:
                from ssl_patches.studies.compare.report.page import page

                self._page = page(self._comparison)
            return self._page

    def _look(self) -> None:
        state = files_state([str(run / SUMMARY) for run in self._place.runs])
        if state == self._state:
            return
        self._state, self._comparison, self._page, self._error = state, None, "", ""
        try:
            self._comparison = compare_runs([self._place.path], mixed=True)
        except ValueError as error:
            self._error = str(error)
