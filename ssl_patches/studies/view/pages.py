"""Write the pages: plain HTML from what was found. Everything that a user named is escaped.

``root`` is the address below which everything is served, "/KEY/".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from ssl_patches.config.plain_text import printable
from ssl_patches.evaluation.rows import Row, with_bounds
from ssl_patches.evaluation.verdict import verdict
from ssl_patches.studies.listing import run_traits
from ssl_patches.studies.run_reader import Run, read_run, typed_command
from ssl_patches.studies.view.found import (
    FIGURES,
    HEALTH,
    MOST_RUNS,
    PREVIEW,
    Shown,
    alarm_lines,
    figure_files,
    result_rows,
)

MARK = '<meta name="generator" content="ssl-patches view">'
ABOUT = {
    HEALTH: "Health: what was measured during the run, on held-out images, without labels",
    PREVIEW: "The nearest held-out images by features",
    "patches": "Patches as colours by their features; of a ViT also where it looks",
}
LABELS = "What the features are worth, with 95 % intervals"


def html_text(text: object) -> str:
    """Return text for a page: nothing in it acts, on a browser or a terminal."""
    return escape(printable(text if isinstance(text, str) else str(text)))


def html_page(root: str, title: str, body: Iterable[str], *, script: str = "") -> str:
    """Return a whole page. ``script``: the name of a script of ours that it runs."""
    told = f'<script src="{root}{script}" defer></script>' if script else ""
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{MARK}',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<title>{html_text(title)}</title><link rel="icon" href="data:,">',
            f'<link rel="stylesheet" href="{root}page.css">',
            f'<link rel="stylesheet" href="{root}view.css">{told}</head><body>',
            *body,
            "</body></html>\n",
        ]
    )


def error_page(root: str, title: str, said: str) -> str:
    """Return a page that says what is not there."""
    return html_page(root, title, [f"<h1>{html_text(title)}</h1><p>{html_text(said)}</p>"])


def folder_page(root: str, place: Shown, report: str) -> str:
    """Return the page of a folder of runs: what compares them, then every run.

    ``report``: HTML of the comparison.
    """
    title = place.path.resolve().name
    body = [
        f"<h1>{html_text(title)}</h1>",
        f"<p>{len(place.runs):,} runs in {html_text(place.path)}",
    ]
    body.append(
        f", the first {MOST_RUNS} are shown</p>" if len(place.runs) == MOST_RUNS else "</p>"
    )
    body += ["<section><h2>Compared</h2>", report, "</section>", "<h2>Every run</h2>"]
    body += ['<div class="runs">']
    for number in range(len(place.runs)):
        run = read_run(place.runs[number])
        link = f"{root}run/{number}/"
        body += [
            f'<article><h3><a href="{link}">{html_text(place.name(number))}</a></h3>',
            f"<p>{html_text(_traits(run))}</p>",
            *_verdict(result_rows(run.summary)),
            *_pictures(link, figure_files(run.path), (HEALTH, PREVIEW), title=False),
            "</article>",
        ]
    return html_page(root, title, [*body, "</div>"])


def run_page(root: str, place: Shown, number: int, *, map_said: str) -> str:
    """Return the page of a run. ``map_said``: why there is no map, "" where there can be one."""
    run, name = read_run(place.runs[number]), place.name(number)
    rows, link = result_rows(run.summary), f"{root}run/{number}/"
    body = [_back(root, place), f"<h1>{html_text(name)}</h1>", f"<p>{html_text(_traits(run))}</p>"]
    body += [f'<p class="note">{html_text(run.state.note)}</p>'] if run.state.note else []
    body += [f'<p class="note">ALARM {html_text(line)}</p>' for line in alarm_lines(run.path)]
    body += [*_verdict(rows), *_map_link(link, map_said)]
    body += _results(rows)
    shown = figure_files(run.path)
    body += ["<section><h2>Pictures</h2>", *_pictures(link, shown, tuple(shown), title=True)]
    body += [] if shown else ["<p>None yet: they are drawn during the run.</p>"]
    body += ["</section>", *_facts(run)]
    return html_page(root, name, body)


def map_page(root: str, place: Shown, number: int, *, largest_mb: int) -> str:
    """Return the page of the map of a run; a script asks for the points and draws them."""
    name, link = place.name(number), f"{root}run/{number}/"
    return html_page(
        root,
        f"Map of {name}",
        [
            f'<nav><a href="{link}">back to the run</a></nav>',
            f"<h1>{html_text(name)}: a map of its images</h1>",
            f'<main id="map" data-root="{link}" data-largest="{largest_mb}">',
            '<p id="state" role="status">asking for the map</p>',
            '<p id="progress" hidden><progress max="1"></progress></p>',
            "<noscript><p>The map needs JavaScript; the other pages do not.</p></noscript>",
            '<div id="shown" hidden>',
            '<div class="controls"><label>Colour by <select id="by"></select></label>',
            '<span><button id="in" aria-label="zoom in">+</button> ',
            '<button id="out" aria-label="zoom out">−</button> ',
            '<button id="whole">whole map</button></span></div>',
            '<div id="frame"><canvas id="canvas" role="img" aria-label="map of the images: those',
            ' that the encoder finds alike lie together"></canvas>',
            '<figure id="tip" hidden><img alt=""><figcaption></figcaption></figure></div>',
            '<div id="legend"></div>',
            '<p id="drop"><label>Drop an image here, or choose one: <input type="file"',
            ' id="file"></label></p>',
            '<section id="near" hidden><h2 id="of"></h2><div id="query"></div>',
            '<div id="nearest"></div></section>',
            '<ul id="notes"></ul></div></main>',
        ],
        script="map.js",
    )


def _back(root: str, place: Shown) -> str:
    if place.single:
        return ""
    return f'<nav><a href="{root}">back to {html_text(place.path.resolve().name)}</a></nav>'


def _traits(run: Run) -> str:
    traits = run_traits(run)
    said = [traits["state"], traits["task"], traits["encoder"], f"on {traits['data']}"]
    if used := run.used.get("images"):
        seconds = run.used.get("seconds", 0)
        said.append(f"{used:,.0f} images in {seconds:,.0f} s")
    return ", ".join([*said, f"seed {traits['seed']}"])


def _verdict(rows: Sequence[Row]) -> list[str]:
    said = verdict(rows)
    return [f'<p class="verdict">{html_text(said)}</p>'] if said else []


def _map_link(link: str, said: str) -> list[str]:
    if said:
        return [f'<p class="note">No map: {html_text(said)}</p>']
    about = "which images the encoder finds alike; drop one of yours to see its neighbours"
    return [f'<p><a class="button" href="{link}map">Open the map</a> {about}</p>']


def _results(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    models = list(dict.fromkeys(row.model for row in rows))
    metrics = list(dict.fromkeys(row.metric for row in rows))
    cells = {
        (row.metric, row.model): with_bounds(row.metric, row.value, row.low, row.high)
        .replace(" [", " <small>[")
        .replace("]", "]</small>")
        for row in rows
    }
    head = "".join(f"<th>{html_text(model.replace('_', ' '))}</th>" for model in models)
    lines = [
        f"<tr><th>{html_text(metric)}</th>"
        + "".join(f'<td class="number">{cells.get((metric, m), "-")}</td>' for m in models)
        + "</tr>"
        for metric in metrics
    ]
    return [
        f"<section><h2>Results</h2><p>{LABELS}, on {rows[0].n:,} images.</p>",
        f'<div class="wide"><table><thead><tr><th>metric</th>{head}</tr></thead><tbody>',
        *lines,
        "</tbody></table></div></section>",
    ]


def _pictures(
    link: str, files: Mapping[str, Path], names: Sequence[str], *, title: bool
) -> list[str]:
    found = []
    for name in names:
        if name not in files:
            continue
        address = f"{link}{FIGURES}/{quote(name, safe='')}"
        about = html_text(ABOUT.get(name, name))
        told = f"<figcaption>{about}</figcaption>" if title else ""
        found.append(
            f'<figure><a href="{address}"><img src="{address}" alt="{about}" loading="lazy"></a>'
            f"{told}</figure>"
        )
    return found


def _facts(run: Run) -> list[str]:
    command = typed_command(run.path, run.summary, run.settings)
    facts = {"folder": run.path, **({"command": command} if command else {})}
    lines = [
        f"<dt>{key}</dt><dd><pre>{html_text(value)}</pre></dd>" for key, value in facts.items()
    ]
    return ["<section><h2>Where it comes from</h2><dl>", *lines, "</dl></section>"]
