"""Draw the embedded images: mobiles of ten kinds, made on the fly, so that everything runs offline.

Every image shows one mobile: five flat shapes that hang before a wall, a pair at the top, one in
the middle, a pair at the bottom. Its kind, the class, is which of ten shapes hang where: kind k has
shape k at the top, k + 1 in the middle and k + 3 at the bottom, so every shape hangs in three
kinds, and two kinds share one shape at most. Colours, light, place, size, turn, background and
grain are random and know nothing of the class.

What makes them worth pretraining on: nothing but the shapes tells the rows apart (there is no
outline, no horizon, and light may come from anywhere), so telling where a tile was cut is telling
which shapes go together; the parts that are seen say what those that are hidden look like; and two
crops share their shapes. Pixels say little, because walls differ more in colour than shapes do from
their wall.

Trap: pinned pixels. Only the raw words of PCG64 are used (numpy guarantees those, not the
distributions), all is float64 until one final rounding. Whoever changes the drawing changes
``DRAWING``, and with it every fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_patches.data.source import ImageSource

Array = NDArray[np.float64]
Scene = dict[str, Array]

DRAWING = 3
KINDS = (  # part id in a mask = position here + 1
    "disc", "ring", "triangle", "cross", "bars", "square", "moon", "chevron", "star", "hourglass",
)  # fmt: skip
# centre of each slot from the centre of the mobile, y and x, in SPREADs; a flip is slot -> 4 - slot
SLOTS = np.array([(-1, -1), (1, -1), (0, 0), (1, 1), (-1, 1)], dtype=np.float64)
ROWS = (0, 3, 1, 3, 0)  # what is added to the class for the shape in each slot
SPREAD, RADIUS = 0.245, 0.16  # in image sides; RADIUS: size of a part
# how far a part of a mobile of scale 1 can get from its centre along an axis, in image sides
REACH = 0.516

# Everything random about an image: name -> (how many values, low, high). Lengths in image sides,
# angles in radians.
RANGES: dict[str, tuple[int, float, float]] = {
    "shift": (2, -1.0, 1.0), "scale": (1, 0.66, 0.95), "rotation": (1, -0.22, 0.22),
    "light": (1, 0.0, 6.283185307179586), "light_depth": (1, 0.0, 0.06),
    "brightness": (1, 0.85, 1.15), "grain": (1, 0.005, 0.02),
    "back_hue": (1, 0.0, 1.0), "back_value": (1, 0.33, 0.67), "back_slope": (1, 0.0, 0.05),
    "back_angle": (1, 0.0, 6.283185307179586),
    "part_at": (10, -0.025, 0.025), "part_size": (5, 0.93, 1.07), "part_turn": (5, -0.12, 0.12),
    "trim_hue": (1, 0.0, 1.0), "trim_sign": (1, -1.0, 1.0), "trim_contrast": (1, 0.17, 0.34),
    "part_hue": (5, -0.05, 0.05), "part_contrast": (5, -0.05, 0.05),
}  # fmt: skip
CHROMA, BACK_CHROMA = 0.06, 0.14
_COUNTS = np.array([count for count, _, _ in RANGES.values()])
_LOW, _HIGH = (np.repeat([r[k] for r in RANGES.values()], _COUNTS) for k in (1, 2))
_ENDS = np.cumsum(_COUNTS)
_PARTS = {
    name: slice(end - count, end) for name, end, count in zip(RANGES, _ENDS, _COUNTS, strict=True)
}


def arrangement(label: int) -> list[int]:
    """Return the kind of part (position in ``KINDS``) in each of the five slots, for class
    ``label`` 0..9."""
    return [(label + row) % len(KINDS) for row in ROWS]


def class_name(label: int) -> str:
    """Return the parts at the top, in the middle and at the bottom: "disc-ring-cross"."""
    kinds = arrangement(label)
    return "-".join(KINDS[kinds[slot]] for slot in (0, 2, 1))


def draw(
    *, seed: int, split: int, index: int, label: int, size: int
) -> tuple[Array, NDArray[np.uint8]]:
    """Draw one image: float64 (3, size, size) in about 0..255, and uint8 (size, size) of part ids.

    An id of 0 is no part. ``split``: 0 for train, 1 for val; ``label``: the class, 0..9.
    """
    stream = np.random.PCG64(np.random.SeedSequence((seed, split, index)))
    words = stream.random_raw(_ENDS[-1] + (size * size + 7) // 8)
    uniform = (words[: _ENDS[-1]] >> np.uint64(11)) * 2.0**-53
    values = _LOW + uniform * (_HIGH - _LOW)
    scene = {name: values[where] for name, where in _PARTS.items()}
    canvas = _background(scene, size)
    mask = _paint_parts(canvas, scene, label)
    canvas *= 255.0 * scene["brightness"]
    noise = words[_ENDS[-1] :].astype("<u8").view(np.uint8)[: size * size].reshape(size, size)
    canvas += (noise - 127.5) * (2.0 * scene["grain"])
    return canvas, mask


@lru_cache(maxsize=8)
def _axes(size: int) -> tuple[Array, Array]:
    """y (size, 1) and x (1, size) of the pixel centres, in image sides from the centre of the
    image."""
    line = (np.arange(size) + 0.5) / size - 0.5
    return line[:, None], line[None, :]


def _colour(hue: Array, value: Array | float, chroma: Array | float) -> Array:
    """(..., 3) colours whose mean over the channels is ``value``."""
    thirds = np.array([0.0, 1 / 3, 2 / 3])
    return np.asarray(value)[..., None] + np.asarray(chroma)[..., None] * np.cos(
        2 * np.pi * (hue[..., None] - thirds)
    )


def _background(scene: Scene, size: int) -> Array:
    """Paint a wall of two colours that run into each other, and the light that falls across it.

    Both change evenly along a line, so the whole is a constant, a slope in y and one in x.
    """
    y, x = _axes(size)
    slope = scene["back_slope"] * np.array([-1.0, 1.0])
    first, second = _colour(scene["back_hue"], scene["back_value"] + slope, BACK_CHROMA)
    step, fall = second - first, scene["light_depth"]
    down = step * np.cos(scene["back_angle"]) + fall * np.sin(scene["light"])
    across = step * np.sin(scene["back_angle"]) + fall * np.cos(scene["light"])
    base = (first + second) / 2
    return (base[:, None, None] + down[:, None, None] * y) + across[:, None, None] * x


def _shape(kind: str, v: Array, u: Array, distance: Array) -> Array:
    """Signed distance (negative inside) of a part within 1.1 of its centre; ``v`` points down,
    ``u`` to the right."""
    if kind == "disc":
        return distance - 0.92
    if kind == "ring":
        return np.abs(distance - 0.70) - 0.25
    if kind == "triangle":
        return np.maximum(v - 0.66, 0.866 * np.abs(u) - 0.5 * v - 0.42)
    if kind == "moon":
        return np.maximum(distance - 0.95, 0.75 - np.sqrt((u - 0.45) ** 2 + (v + 0.1) ** 2))
    side, down = np.abs(u), np.abs(v)
    if kind == "cross":
        return np.maximum(np.minimum(side, down) - 0.28, np.maximum(side, down) - 0.95)
    if kind == "bars":
        return np.maximum(np.abs(side - 0.53) - 0.26, down - 0.77)
    if kind == "square":
        return np.abs(np.maximum(side, down) - 0.56) - 0.24
    if kind == "chevron":
        return np.maximum(np.abs(v + 0.9 * side - 0.25) - 0.34, side - 0.85)
    if kind == "star":
        return distance - 0.68 - 0.27 * np.cos(5.0 * np.arctan2(u, -v))
    return np.maximum(0.8 * (side - down) - 0.12, np.maximum(down, side) - 0.8)


def _paint_parts(canvas: Array, scene: Scene, label: int) -> NDArray[np.uint8]:
    """Paint all five parts, in one stack of small windows (5, n, n); row k belongs to slot k.

    A part is lighter or darker than what is behind it, all parts of a mobile alike.
    """
    size, scale = canvas.shape[-1], scene["scale"][0]
    offset = scene["shift"] * min(0.12, 0.5 - REACH * scale)
    sin, cos = np.sin(scene["rotation"][0]), np.cos(scene["rotation"][0])
    kinds = arrangement(label)
    sy, sx = (SLOTS * SPREAD + scene["part_at"].reshape(5, 2)).T * scale
    centre = np.stack([cos * sy + sin * sx, cos * sx - sin * sy], 1) + offset[None]
    radius = RADIUS * scale * scene["part_size"]
    n = min(size, int(2.6 * RADIUS * size) + 3)  # 2 * the largest scale, part and extent of a shape
    corner = np.clip(np.floor((centre + 0.5) * size - n / 2 + 0.5), 0, size - n).astype(int)
    pixels = ((corner[:, :, None] + np.arange(n) + 0.5) / size - 0.5 - centre[:, :, None]) / radius[
        :, None, None
    ]
    dy, dx = pixels[:, 0, :, None], pixels[:, 1, None, :]
    turn = (scene["part_turn"] + scene["rotation"])[:, None, None]
    v, u = np.cos(turn) * dy - np.sin(turn) * dx, np.cos(turn) * dx + np.sin(turn) * dy
    distance = np.sqrt(v * v + u * u)
    inside = np.stack(
        [_shape(KINDS[kind], v[k], u[k], distance[k]) for k, kind in enumerate(kinds)]
    )
    cover = np.minimum(np.maximum(0.5 - inside * (radius * size)[:, None, None], 0.0), 1.0)
    value = np.where(scene["trim_sign"] < 0, -1.0, 1.0) * scene["trim_contrast"]
    colour = _colour(scene["trim_hue"] + scene["part_hue"], value + scene["part_contrast"], CHROMA)
    mask = np.zeros((size, size), dtype=np.uint8)
    for k, (top, left) in enumerate(corner):
        canvas[:, top : top + n, left : left + n] += cover[k] * colour[k][:, None, None]
        mask[top : top + n, left : left + n][cover[k] > 0.5] = kinds[k] + 1
    return mask


class EmbeddedSource(ImageSource):
    """The embedded images: ``source[i]`` -> (image uint8 (C, S, S), label, i).

    Image i is a function of seed, split, i and image_size only: the same on every machine, whatever
    ``count`` is. ValueError for sides other than 32 to 256 px, and numbers out of range.

    ``count``: images of the split; None: 4000 for train, 1000 for val. ``channels``: 3 = red,
    green, blue; 1 = their mean; any other number lies evenly along the line red - green - blue,
    which stands in for a deeper image.
    ``load_size``: side at which images are drawn; None: ``image_size``. ``seed``: other images of
    the same classes. Why: everybody gets the same ones.
    """

    labels: Tensor  # (N,) int64, 0..9

    reads_apart = False

    def __init__(
        self,
        *,
        split: Literal["train", "val"] = "train",
        count: int | None = None,
        image_size: int = 64,
        load_size: int | None = None,
        channels: int = 3,
        seed: int = 0,
    ) -> None:
        image_size = load_size or image_size
        if split not in ("train", "val"):
            raise ValueError(
                f"data.split={split}: embedded images have the splits train and val; set"
                " data.split=train"
            )
        if count is not None and count < 1:
            raise ValueError(
                f"data.count={count}: must be at least 1; leave it out for 4000 (train) or 1000"
                " (val)"
            )
        if not 32 <= image_size <= 256:
            raise ValueError(
                f"image_size={image_size}: embedded images are drawn at 32 to 256 px; set"
                " image_size=64"
            )
        if channels < 1:
            raise ValueError(f"data.channels={channels}: must be at least 1; set data.channels=3")
        if not 0 <= seed < 2**32:
            raise ValueError(f"data.seed={seed}: must lie in 0..4294967295; set data.seed=0")
        self.split, self.image_size, self.channels, self.seed = split, image_size, channels, seed
        self.count = (4000 if split == "train" else 1000) if count is None else count
        self.classes = [class_name(label) for label in range(10)]
        self.mask_classes, self.objects = ["no part", *KINDS], list(range(1, 1 + len(KINDS)))
        self.labels = self._labels()
        at = np.linspace(0.0, 2.0, channels)[:, None] if channels > 1 else None
        self._mix = (
            np.full((1, 3), 1 / 3)
            if at is None
            else np.clip(1.0 - np.abs(at - np.arange(3.0)), 0.0, 1.0)
        )

    def _labels(self) -> Tensor:
        """Every ten consecutive images show each class once, in an order of their own (no stride
        meets one class)."""
        blocks = -(-self.count // 10)
        words = np.random.PCG64(np.random.SeedSequence((self.seed, self._stream, 0, 1))).random_raw(
            10 * blocks
        )
        return torch.from_numpy(
            words.reshape(blocks, 10).argsort(1, kind="stable").reshape(-1)[: self.count].copy()
        )

    @property
    def _stream(self) -> int:
        return 0 if self.split == "train" else 1

    def _draw(self, index: int) -> tuple[Array, NDArray[np.uint8]]:
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index} of {self.count} embedded images")
        index = int(index) % self.count
        label = int(self.labels[index])
        return draw(
            seed=self.seed, split=self._stream, index=index, label=label, size=self.image_size
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        """Return (image uint8 (C, S, S), label 0..9, index). IndexError beyond ``count``."""
        canvas, _ = self._draw(index)
        if self.channels != 3:
            canvas = np.einsum("dc,cyx->dyx", self._mix, canvas)
        pixels = np.minimum(np.maximum(np.rint(canvas), 0.0), 255.0).astype(np.uint8)
        index = int(index) % self.count
        return torch.from_numpy(pixels), int(self.labels[index]), index

    def mask(self, index: int) -> Tensor:
        """Return the part ids of an image, uint8 (S, S): 0 = no part, k = ``KINDS[k - 1]``."""
        return torch.from_numpy(self._draw(index)[1])

    def fingerprint(self) -> str:
        """Return a hash of all that decides the images: parameters and drawing."""
        what: dict[str, Any] = {
            "drawing": DRAWING,
            "kinds": KINDS,
            "ranges": RANGES,
            "split": self.split,
        }
        what |= {
            "count": self.count,
            "image_size": self.image_size,
            "channels": self.channels,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
