"""Write the page of copies and odd images: one HTML file that opens from disk, without a network.

Everything that a user named is escaped, and no script is in it. It stays small: at most
``MOST_GROUPS`` groups of ``MOST_COPIES`` images, and ``MOST_OUTLIERS`` outliers; how many more
there are is said, and the CSV has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from torch import Tensor

from ssl_patches.config.plain_text import printable
from ssl_patches.evaluation.duplicates.findings import Findings, Image
from ssl_patches.evaluation.duplicates.thumbnails import data_address

MOST_GROUPS, MOST_COPIES, MOST_OUTLIERS = 100, 8, 100
MARK = "<!-- written by ssl-patches duplicates -->"
HEAD = f"""<!doctype html>
{MARK}
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Copies and odd images</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem }}
section {{ display: flex; flex-wrap: wrap; gap: .75rem; border-top: 1px solid #8884;
 padding: .75rem 0 }}
figure {{ margin: 0; width: 8rem; font-size: 12px; overflow-wrap: anywhere }}
img {{ width: 96px; height: 96px; object-fit: contain; background: #8882; display: block }}
.kept img {{ outline: 3px solid #2a78d6 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #1a1a19; color: #eee }} }}
</style></head><body>
"""


def findings_page(
    images: Sequence[Image], found: Findings, pixels: Callable[[int], Tensor], told: Sequence[str]
) -> str:
    """Return the page as text. ``pixels``: number of an image -> uint8 (C, S, S)."""
    lines = [HEAD, "<h1>Copies and odd images</h1>"]
    lines += [f"<p>{_text(line)}</p>" for line in told]
    lines += ["<h2>Groups of near-copies</h2>", *_groups(images, found, pixels)]
    lines += ["<h2>Odd images</h2>", *_outliers(images, found, pixels), "</body></html>"]
    return "\n".join(lines) + "\n"


def _groups(
    images: Sequence[Image], found: Findings, pixels: Callable[[int], Tensor]
) -> Iterator[str]:
    for group in found.groups[:MOST_GROUPS]:
        yield "<section>"
        yield _figure(images[group.kept], pixels(group.kept), "kept", "kept")
        for one, cosine in list(zip(group.copies, group.cosines, strict=True))[:MOST_COPIES]:
            yield _figure(images[one], pixels(one), f"cosine {cosine:.3f}")
        if len(group.copies) > MOST_COPIES:
            yield f"<p>and {len(group.copies) - MOST_COPIES:,} more</p>"
        yield "</section>"
    if not found.groups:
        yield "<p>None.</p>"
    if len(found.groups) > MOST_GROUPS:
        yield f"<p>And {len(found.groups) - MOST_GROUPS:,} groups more, see the CSV.</p>"


def _outliers(
    images: Sequence[Image], found: Findings, pixels: Callable[[int], Tensor]
) -> Iterator[str]:
    yield "<section>"
    for one in found.outliers[:MOST_OUTLIERS]:
        yield _figure(images[one], pixels(one), f"{found.deviations[one]:.1f} deviations")
    yield "</section>"
    if not found.outliers:
        yield "<p>None.</p>"
    if len(found.outliers) > MOST_OUTLIERS:
        yield f"<p>And {len(found.outliers) - MOST_OUTLIERS:,} more, see the CSV.</p>"


def _figure(image: Image, pixels: Tensor, said: str, kind: str = "") -> str:
    return (
        f'<figure class="{kind}"><img alt="" src="{data_address(pixels)}">'
        f"{_text(image.path)}<br>{_text(image.split)}, {_text(said)}</figure>"
    )


def _text(text: str) -> str:
    return escape(printable(text))
