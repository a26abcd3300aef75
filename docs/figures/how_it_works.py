"""The figure "how it works", for light and dark pages: `python docs/figures/how_it_works.py`.

All pictures come from the package at work: an embedded image, its view, the tiles that the sampler
cuts of it, and what each task shows of them, with the first permutation, mask and pairs that a
fixed seed draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor

from ssl_patches.data import EmbeddedSource
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.masks import visible_cells
from ssl_patches.tasks.permutations import permutation_table
from ssl_patches.tasks.relative import DIRECTIONS
from ssl_patches.views.resample import as_float, crop_resize

SIZE = 96  # px of image and view
WIDTH, HEIGHT = 11.8, 7.4  # inches
QUESTIONS = {
    "agree": "Do two crops get\nthe same feature?",
    "subsets": "Do disjoint parts get\nthe same feature?",
    "jigsaw": "In which of 72 orders\ndo the tiles lie?",
    "relative": "In which of 8 directions\nlies the second tile?",
    "masked": "What do the hidden\ntokens look like?",
    "position": "In which cell belongs\neach unplaced token?",
    "relation": "Which way from every\ntoken to every other?",
}


@dataclass(frozen=True)
class Theme:
    """Colours of a page."""

    paper: str
    card: str
    ink: str
    quiet: str
    accent: str
    empty: float  # grey of a place where nothing is shown


THEMES = {
    "light": Theme("#ffffff", "#f3f4f6", "#1f2328", "#57606a", "#0b62c4", 0.86),
    "dark": Theme("#131416", "#22252a", "#e9ecef", "#a8b0b9", "#6db3ff", 0.26),
}


def cut(view: Tensor, sampler: PatchSampler) -> tuple[Tensor, Tensor]:
    """Tiles (K, 3, t, t) in 0..1 and their boxes (K, 4) of one view."""
    patches = sampler(view[None])
    return sampler.denormalise(patches.tiles[0]).clamp(0, 1), patches.boxes[0].round().long()


def laid(tiles: Tensor, corners: Sequence[tuple[int, int]], *, side: int, empty: float) -> Tensor:
    """(side, side, 3): tiles at (y, x), paper elsewhere."""
    canvas = torch.full((3, side, side), empty)
    for tile, (y, x) in zip(tiles, corners, strict=True):
        canvas[:, y : y + tile.shape[1], x : x + tile.shape[2]] = tile
    return canvas.permute(1, 2, 0)


def grid_corners(count: int, *, cols: int, pitch: int, inset: int = 0) -> list[tuple[int, int]]:
    return [(inset + at // cols * pitch, inset + at % cols * pitch) for at in range(count)]


def show(figure: Figure, place: tuple[float, float, float], picture: Tensor) -> Axes:
    """A square picture at (left, bottom, side) in inches."""
    left, bottom, side = place
    axis = figure.add_axes((left / WIDTH, bottom / HEIGHT, side / WIDTH, side / HEIGHT))
    axis.imshow(picture.numpy(), interpolation="nearest", vmin=0, vmax=1)
    axis.set_axis_off()
    return axis


def shown_by_tasks(view: Tensor, tiles: Tensor, theme: Theme) -> dict[str, Tensor]:
    """What each task shows the encoder, as pictures of SIZE px."""
    empty = theme.empty
    order = permutation_table(9, 72)[17]
    side, pitch = tiles.shape[-1], SIZE // 3
    puzzle = laid(
        tiles[order],
        grid_corners(9, cols=3, pitch=pitch, inset=(pitch - side) // 2),
        side=SIZE,
        empty=empty,
    )
    pair = laid(tiles[[4, 2]], [(6, 14), (6, SIZE - 14 - side)], side=SIZE, empty=empty)

    tokens, boxes = cut(view, PatchSampler(image_size=SIZE, unit=12).eval())
    corners = [(int(y), int(x)) for y, x in boxes[:, :2]]
    visible = visible_cells(
        8, 8, batch=1, keep=16, kind="random", device="cpu", generator=torch.manual_seed(3)
    )[0][0].tolist()
    masked = laid(tokens[visible], [corners[cell] for cell in visible], side=SIZE, empty=empty)

    placed, asked = visible[::4], [cell for at, cell in enumerate(visible) if at % 4]
    half = torch.nn.functional.avg_pool2d(
        tokens, 2
    )  # the grid of cells at half its size, above the tokens without one
    small = [(4 + y // 2, 24 + x // 2) for y, x in corners]
    heap = [(60 + at // 6 * 17, 1 + at % 6 * 16) for at in range(12)]
    position = laid(tokens[asked], heap, side=SIZE, empty=empty)
    position[4:52, 24:72] = 0.5 * (1 + empty) if empty > 0.5 else 0.4 * empty
    for cell in placed:
        y, x = small[cell]
        position[y : y + 6, x : x + 6] = half[cell].permute(1, 2, 0)

    apart = torch.nn.functional.interpolate(tokens, size=10, mode="bilinear", antialias=True)
    shuffled = torch.randperm(64, generator=torch.manual_seed(1))
    relation = laid(
        apart[shuffled], grid_corners(64, cols=8, pitch=12, inset=1), side=SIZE, empty=empty
    )
    boxes = torch.tensor([[2.0, 6.0, 70.0, 70.0], [20.0, 20.0, 74.0, 74.0]])
    crops = crop_resize(view[None].expand(2, -1, -1, -1), boxes, out=46)
    crops = torch.stack([0.75 * crops[0] + 0.25 * crops[0].roll(1, 0), crops[1].flip(-1)])
    both = laid(crops, [(25, 1), (25, SIZE - 47)], side=SIZE, empty=empty)
    order = torch.randperm(64, generator=torch.manual_seed(2)).tolist()
    halves = (
        [(y // 2 + 24, x // 2) for y, x in corners],
        [(y // 2 + 24, x // 2 + 48) for y, x in corners],
    )
    cells = order[:16], order[16:32]
    parts = torch.cat([half[some] for some in cells])
    places = [where[cell] for where, some in zip(halves, cells, strict=True) for cell in some]
    subsets = laid(parts, places, side=SIZE, empty=empty)
    return {
        "agree": both,
        "subsets": subsets,
        "jigsaw": puzzle,
        "relative": pair,
        "masked": masked,
        "position": position,
        "relation": relation,
    }


def arrow(
    figure: Figure,
    start: tuple[float, float],
    end: tuple[float, float],
    theme: Theme,
    label: str = "",
) -> None:
    """From (x, y) to (x, y) in inches, with a label above its middle."""
    shape = FancyArrowPatch(
        (start[0] / WIDTH, start[1] / HEIGHT),
        (end[0] / WIDTH, end[1] / HEIGHT),
        arrowstyle="-|>",
        mutation_scale=16,
        linewidth=2,
        color=theme.accent,
        shrinkA=0,
        shrinkB=0,
    )
    figure.add_artist(shape)
    if label:
        at = ((start[0] + end[0]) / 2 / WIDTH, ((start[1] + end[1]) / 2 + 0.1) / HEIGHT)
        figure.text(
            *at,
            label,
            ha="center",
            va="bottom",
            color=theme.accent,
            fontsize=10.5,
            fontweight="bold",
        )


def words(figure: Figure, x: float, y: float, text: str, theme: Theme, **style: object) -> None:
    """Text with its upper middle at (x, y) in inches."""
    figure.text(
        x / WIDTH,
        y / HEIGHT,
        text,
        **{"ha": "center", "va": "top", "color": theme.ink, "fontsize": 10, **style},
    )


def card(
    figure: Figure, left: float, bottom: float, width: float, height: float, theme: Theme
) -> None:
    box = FancyBboxPatch(
        (left / WIDTH, bottom / HEIGHT),
        width / WIDTH,
        height / HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.012",
        facecolor=theme.card,
        edgecolor="none",
        zorder=-1,
    )
    figure.add_artist(box)


def draw(theme: Theme) -> Figure:
    torch.manual_seed(4)
    image = EmbeddedSource(split="train", image_size=SIZE)[11][0]
    crop = torch.tensor([[4.0, 12.0, 78.0, 78.0]])
    view = as_float(crop_resize(image[None], crop, out=SIZE))[0]
    sampler = PatchSampler(image_size=SIZE, rows=3, cols=3, tile=24)
    tiles, boxes = cut(view, sampler)
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=170, facecolor=theme.paper)

    # 1: image -> view -> tiles
    side, bottom = 1.75, 5.24
    lefts = (2.15, 5.02, 7.9)
    first = show(figure, (lefts[0], bottom, side), image.permute(1, 2, 0) / 255)
    y, x, h, w = crop[0].tolist()
    first.add_patch(
        Rectangle((x - 0.5, y - 0.5), w, h, fill=False, edgecolor="white", linewidth=3.4)
    )
    first.add_patch(
        Rectangle(
            (x - 0.5, y - 0.5),
            w,
            h,
            fill=False,
            edgecolor=theme.accent,
            linewidth=1.6,
            linestyle="--",
        )
    )
    show(figure, (lefts[1], bottom, side), view.permute(1, 2, 0))
    show(
        figure,
        (lefts[2], bottom, side),
        laid(tiles, boxes[:, :2].tolist(), side=SIZE, empty=theme.empty),
    )
    for left, title, about in zip(
        lefts,
        ("image", "view", "tiles"),
        (
            "no label is read",
            "a random crop, flip, ...",
            "3 x 3 with gap and jitter,\nor tokens side by side",
        ),
        strict=True,
    ):
        words(
            figure,
            left + side / 2,
            bottom + side + 0.31,
            title,
            theme,
            fontsize=13,
            fontweight="bold",
        )
        words(figure, left + side / 2, bottom - 0.08, about, theme, fontsize=9.5, color=theme.quiet)
    for start, end, label in ((lefts[0], lefts[1], "views="), (lefts[1], lefts[2], "sampler=")):
        arrow(
            figure,
            (start + side + 0.12, bottom + side / 2),
            (end - 0.12, bottom + side / 2),
            theme,
            label,
        )

    # 2: what each task shows and asks
    card(figure, 0.2, 1.78, WIDTH - 0.4, 2.76, theme)
    words(
        figure,
        WIDTH / 2,
        4.43,
        "task=   what the encoder is shown, and what is asked",
        theme,
        fontsize=12,
        fontweight="bold",
    )
    step, side = (WIDTH - 0.4) / len(QUESTIONS), 1.42
    for at, (name, picture) in enumerate(shown_by_tasks(view, tiles, theme).items()):
        left = 0.2 + at * step + (step - side) / 2
        axis = show(figure, (left, 2.38, side), picture)
        mark(axis, name, theme)
        words(
            figure,
            left + side / 2,
            4.09,
            name,
            theme,
            fontsize=11.5,
            fontweight="bold",
            color=theme.accent,
        )
        words(figure, left + side / 2, 2.29, QUESTIONS[name], theme, fontsize=9.2)
    arrow(figure, (lefts[2] + 0.875, 4.79), (lefts[2] + 0.875, 4.55), theme)

    # 3: encoder -> export
    arrow(figure, (WIDTH / 4, 1.77), (WIDTH / 4, 1.48), theme)
    for left, width, title, about in (
        (
            0.2,
            4.5,
            "encoder=",
            "a ViT or CNN of timm: one feature per tile;\n"
            "the place of a tile only where the task tells it.\n"
            "The task's head learns with it, and is dropped.",
        ),
        (
            5.55,
            WIDTH - 5.75,
            "RUN/encoder",
            "a plain timm model for whole\nimages, proven equal to what\nwas trained, to 1e-5",
        ),
    ):
        card(figure, left, 0.15, width, 1.31, theme)
        words(figure, left + width / 2, 1.36, title, theme, fontsize=13, fontweight="bold")
        words(figure, left + width / 2, 1.02, about, theme, fontsize=10.2, linespacing=1.45)
    arrow(figure, (4.76, 0.8), (5.49, 0.8), theme, "export")
    return figure


def mark(axis: Axes, name: str, theme: Theme) -> None:
    """The question, drawn onto the picture: directions asked about."""
    line = {"arrowstyle": "-|>", "mutation_scale": 11, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    if name == "relative":
        for dy, dx in DIRECTIONS:
            reach = 21 / (dy * dy + dx * dx) ** 0.5
            right = (dy, dx) == (-1, 1)
            ends = (
                (48 + 0.3 * reach * dx, 66 + 0.3 * reach * dy),
                (48 + reach * dx, 66 + reach * dy),
            )
            axis.add_patch(
                FancyArrowPatch(*ends, color=theme.accent if right else theme.quiet, **line)
            )
    elif name == "relation":
        for start, end in (
            ((18, 18), (78, 42)),
            ((78, 42), (30, 78)),
            ((30, 78), (18, 18)),
            ((66, 90), (78, 42)),
        ):
            axis.add_patch(FancyArrowPatch(start, end, color="white", **{**line, "linewidth": 4.2}))
            axis.add_patch(
                FancyArrowPatch(
                    start, end, color=theme.accent if theme.empty > 0.5 else "#0b62c4", **line
                )
            )
    elif name == "position":
        axis.text(
            48,
            28,
            "?",
            ha="center",
            va="center",
            color=theme.accent,
            fontsize=15,
            fontweight="bold",
        )


if __name__ == "__main__":
    for name, theme in THEMES.items():
        draw(theme).savefig(
            Path(__file__).with_name(f"how_it_works-{name}.png"), facecolor=theme.paper
        )
