"""Draw the embedded images: robots of ten kinds, made on the fly, so that everything runs offline.

Every image shows one robot on a plain under a sky. Its kind, the class, is which five of ten parts
it wears, and where (four corners and the middle). Colours, textures, light, pose, background and
grain are random and know nothing of the class, and all robots have the same outline: pixels, colour
histograms and untrained networks say little about the class, a supervised network reads it, and an
encoder that was asked how parts look and where they lie has what it takes.

What makes them worth pretraining on: a kind of part belongs to a *pair* of slots, the disc to upper
left and upper right. Five slots have ten pairs, so each kind of part lies in one of two slots, and
no two kinds in the same two: telling where a tile was cut *is* telling what part it shows. A class
is a way round the five slots: each slot wears the part of the pair that it forms with the next. Of
the twelve ways round (a way and its reverse are one) the ten are taken that are no pentagon; they
are the images of one of them under the maps ``a * slot + b`` of the field of five, a in {1, 2}. So
every part is worn by five classes, and two classes share two parts on average and three at most.

Trap: flips. A flipped robot wears the same parts in slots which are not theirs, so tasks that ask
where a tile lies learn more without (``views.flip=0``).

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

DRAWING = 2
KINDS = (  # part id in a mask = position here + 1
    "disc", "ring", "triangle", "cross", "bars", "square", "moon", "chevron", "star", "hourglass",
)  # fmt: skip
PAIRS = ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (0, 2), (1, 3), (2, 4), (0, 3), (1, 4))
"""The two slots in which each of ``KINDS`` is worn: all pairs of five slots."""
NEXT = (1, 3, 4, 2, 0)  # slot -> the next one, in the way round that all classes come from
# centre of each slot from the centre of the robot, y and x, in SPREADs; a flip is slot -> 4 - slot
SLOTS = np.array([(-1, -1), (1, -1), (0, 0), (1, 1), (-1, 1)], dtype=np.float64)
SPREAD, RADIUS = 0.245, 0.155  # in image sides; RADIUS: size of a part
# how far a part of a robot of scale 1 can get from the robot's centre along an axis, in image sides
REACH = 0.497

# Everything random about an image: name -> (how many values, low, high). Lengths in image sides,
# angles in radians.
RANGES: dict[str, tuple[int, float, float]] = {
    "shift": (2, -1.0, 1.0), "scale": (1, 0.68, 1.0), "rotation": (1, -0.22, 0.22),
    "light": (1, 3.6, 4.3), "light_depth": (1, 0.05, 0.25), "brightness": (1, 0.85, 1.15),
    "grain": (1, 0.01, 0.04),
    "sky_hue": (2, 0.0, 1.0), "sky_value": (1, 0.55, 0.85), "horizon": (1, 0.1, 0.3),
    "ground_hue": (1, 0.0, 1.0), "ground_value": (1, 0.2, 0.42),
    "wave": (8, -22.0, 22.0), "wave_phase": (4, 0.0, 6.28), "wave_depth": (4, 0.0, 0.06),
    "blob_at": (12, -0.5, 0.5), "blob_width": (6, 0.04, 0.12), "blob_colour": (18, -0.35, 0.35),
    "body_hue": (1, 0.0, 1.0), "body_value": (1, 0.42, 0.62), "body_taper": (1, -0.08, 0.08),
    "part_at": (10, -0.025, 0.025), "part_size": (5, 0.94, 1.06), "part_turn": (5, -0.2, 0.2),
    "trim_hue": (1, 0.0, 1.0), "trim_contrast": (1, -0.14, 0.14),
    "part_hue": (5, -0.08, 0.08), "part_chroma": (5, 0.05, 0.2), "part_contrast": (5, -0.04, 0.04),
    "stripe": (10, -9.0, 9.0), "stripe_phase": (5, 0.0, 6.28), "stripe_depth": (5, 0.0, 0.05),
}  # fmt: skip
_COUNTS = np.array([count for count, _, _ in RANGES.values()])
_LOW, _HIGH = (np.repeat([r[k] for r in RANGES.values()], _COUNTS) for k in (1, 2))
_ENDS = np.cumsum(_COUNTS)
_PARTS = {
    name: slice(end - count, end) for name, end, count in zip(RANGES, _ENDS, _COUNTS, strict=True)
}


def arrangement(label: int) -> list[int]:
    """Return the kind of part (position in ``KINDS``) in each of the five slots, for class
    ``label`` 0..9."""
    a, b = 1 + label // 5, label % 5
    following = {(a * slot + b) % 5: (a * NEXT[slot] + b) % 5 for slot in range(5)}
    pairs = [(min(slot, following[slot]), max(slot, following[slot])) for slot in range(5)]
    return [PAIRS.index(pair) for pair in pairs]


def class_name(label: int) -> str:
    """Return the parts in the robot's upper left, upper right and middle: "disc-bars-chevron"."""
    kinds = arrangement(label)
    return "-".join(KINDS[kinds[slot]] for slot in (0, 4, 2))


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
    offset = scene["shift"] * min(0.1, 0.5 - REACH * scene["scale"][0])
    _paint_body(canvas, scene, offset)
    mask = _paint_parts(canvas, scene, offset, label)
    y, x = _axes(size)
    gain, depth = 255.0 * scene["brightness"], scene["light_depth"]
    canvas *= (gain + gain * depth * np.sin(scene["light"]) * y) + gain * depth * np.cos(
        scene["light"]
    ) * x
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


def _waves(scene: Scene, size: int, which: slice) -> tuple[Array, Array]:
    """Two gratings as factors (size, 4) and (4, size) of their sum: sin(p + q) = sin p cos q + cos
    p sin q."""
    y, x = _axes(size)
    ky, kx = scene["wave"].reshape(2, 4)[:, which]
    p, q = ky * y + scene["wave_phase"][which], kx[:, None] * x
    depth = scene["wave_depth"][which]
    return np.concatenate([depth * np.sin(p), depth * np.cos(p)], 1), np.concatenate(
        [np.cos(q), np.sin(q)]
    )


def _background(scene: Scene, size: int) -> Array:
    """Sky that pales towards the horizon, darker ground that darkens towards the viewer, soft
    blobs, gratings.

    Every layer is a function of y times a function of x, so the whole is one matrix product.
    """
    y, x = _axes(size)
    high, low = _colour(scene["sky_hue"], scene["sky_value"] * np.array([0.8, 1.0]), 0.12)
    ground = _colour(scene["ground_hue"], scene["ground_value"], 0.1)[0] * (1.25 - 0.9 * y)
    sky = high + (low - high) * (y + 0.5)
    base = sky + np.minimum(np.maximum((y - scene["horizon"]) * size + 0.5, 0.0), 1.0) * (
        ground - sky
    )
    (at_y, at_x), width = scene["blob_at"].reshape(2, 6), scene["blob_width"]
    tall, wide = (
        np.exp(-(((y - at_y) / width) ** 2)),
        np.exp(-(((x - at_x[:, None]) / width[:, None]) ** 2)),
    )
    wave_y, wave_x = _waves(scene, size, slice(0, 2))
    down = np.empty((3, size, 11))
    down[..., 0] = base.T
    down[..., 1:7] = scene["blob_colour"].reshape(3, 1, 6) * tall
    down[..., 7:] = wave_y
    across = np.concatenate([np.ones_like(x), wide, wave_x])
    return (down.reshape(3 * size, 11) @ across).reshape(3, size, size)


def _paint_body(canvas: Array, scene: Scene, offset: Array) -> None:
    """The robot without its parts: shadow on the ground, two feet, an aerial, a rounded body with a
    dark rim."""
    size = canvas.shape[-1]
    y, x = _axes(size)
    scale, sin, cos = scene["scale"][0], np.sin(scene["rotation"][0]), np.cos(scene["rotation"][0])
    dy, dx = (y - offset[0]) / scale, (x - offset[1]) / scale
    v, u = cos * dy - sin * dx, cos * dx + sin * dy
    keep = (0.34 + 55.0 * (dy - 0.45) ** 2) + 2.2 * (
        dx - 0.08
    ) ** 2  # the light that the shadow at the feet leaves
    keep = np.minimum(np.maximum(keep, 0.45), 1.0)
    side, down = np.abs(u), np.abs(v)
    edge_x, edge_y = (
        np.maximum(side + scene["body_taper"] * v - 0.345, 0.0),
        np.maximum(down - 0.345, 0.0),
    )
    body = np.sqrt(edge_x * edge_x + edge_y * edge_y) - 0.09
    feet = np.maximum(np.abs(side - 0.2) - 0.07, np.abs(v - 0.42) - 0.05)
    limbs = np.minimum(feet, np.maximum(side - 0.025, np.abs(v + 0.44) - 0.06))
    sharp = size * scale
    cover = np.minimum(np.maximum(0.5 - body * sharp, 0.0), 1.0)
    limbs = np.minimum(np.maximum(0.5 - limbs * sharp, 0.0), 1.0) * (1.0 - cover)
    wave_y, wave_x = _waves(scene, size, slice(2, 4))
    shade = wave_y @ wave_x + 1.0 - np.minimum(np.maximum(16.0 * body + 0.4, 0.0), 0.4)
    canvas *= keep * (1.0 - cover - limbs)
    canvas += _colour(scene["body_hue"], scene["body_value"], 0.12)[0][:, None, None] * (
        cover * shade + 0.5 * limbs
    )


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


def _paint_parts(canvas: Array, scene: Scene, offset: Array, label: int) -> NDArray[np.uint8]:
    """All five parts, worked out in one stack of small windows (5, n, n); row k belongs to
    slot k."""
    size, scale = canvas.shape[-1], scene["scale"][0]
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
    trim = scene["trim_contrast"] + np.where(scene["trim_contrast"] < 0, -0.2, 0.2)
    value = scene["body_value"] + trim + scene["part_contrast"]
    colour = _colour(scene["trim_hue"] + scene["part_hue"], value, scene["part_chroma"])
    ky, kx = scene["stripe"].reshape(2, 5, 1, 1)
    p, q = ky * dy + scene["stripe_phase"][:, None, None], kx * dx
    depth = scene["stripe_depth"][:, None, None]
    lit = (1.0 + 0.18 * np.sin(scene["light"]) * dy) + 0.18 * np.cos(scene["light"]) * dx
    stripes = (depth * np.sin(p)) * np.cos(q) + (depth * np.cos(p)) * np.sin(q)
    shade = lit + stripes - np.minimum(np.maximum(0.3 + 2.4 * inside, 0.0), 0.3)
    painted = colour[:, :, None, None] * shade[:, None]
    mask = np.zeros((size, size), dtype=np.uint8)
    for k, (top, left) in enumerate(corner):
        window = canvas[:, top : top + n, left : left + n]
        window += cover[k] * (painted[k] - window)
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
