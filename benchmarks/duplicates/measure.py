"""Plant copies and odd images in a folder of photographs, and count what ``duplicates`` finds.

    python benchmarks/duplicates/measure.py DIR RUN_OR_EXPORT

Of 1,000 images of DIR, or all where there are fewer, 100 get a crop (80 % of each side), 100 others
a JPEG of quality 30, and 100 others are 30 % brighter; 20 images are noise, stripes, one colour, a
ramp or a disc. Printed: the share of each kind that is in a group with its original, images that
are called copies and were not planted, and odd images found by features and looks, and by features
alone.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from ssl_patches.data.folder import FolderSource
from ssl_patches.data.walk import find_images
from ssl_patches.encoders.subject import open_model
from ssl_patches.evaluation.duplicates.command import read_vectors
from ssl_patches.evaluation.duplicates.findings import Image as Named
from ssl_patches.evaluation.duplicates.findings import findings
from ssl_patches.evaluation.duplicates.neighbours import groups_of, nearest_apart
from ssl_patches.evaluation.features.extract import frozen
from ssl_patches.evaluation.features.reader import Reader, image_name

KINDS = ("crop", "jpeg", "bright")
IMAGES, PLANTED, ODD = 1000, 100, 20
SIMILARITIES, OUTLIERS = (0.4, 0.5, 0.7, 0.8, 0.9, 0.6), (2, 3, 4, 5)


def plant(root: Path, out: Path) -> None:
    """Write IMAGES images of ``root`` and what is planted into ``out``."""
    draw = np.random.default_rng(0)
    names = sorted(file.path for file in find_images(str(root)).images)
    for at, name in enumerate(draw.choice(names, min(IMAGES, len(names)), replace=False)):
        image = Image.open(root / name).convert("RGB")
        image.save(out / f"{at:04}.png")
        kind = KINDS[at // PLANTED] if at < PLANTED * len(KINDS) else None
        w, h = image.size
        if kind == "crop":
            image = image.crop((w // 10, h // 10, w - w // 10, h - h // 10))
        if kind == "bright":
            image = ImageEnhance.Brightness(image).enhance(1.3)
        if kind:
            image.save(out / f"{at:04}-{kind}.jpg", quality=30 if kind == "jpeg" else 90)
    for at in range(ODD):
        odd(at, draw).save(out / f"odd{at:02}.png")


def odd(at: int, draw: np.random.Generator) -> Image.Image:
    """Draw noise, stripes, one colour, a ramp or a disc; ``at`` 0..19 decides sizes and colours."""
    kind, size = at % 5, 2 ** (at // 5 + 1)
    y, x = np.mgrid[:160, :160]
    colour, other = draw.integers(0, 256, (2, 3))
    if kind == 0:
        small = draw.integers(0, 256, (-(-160 // size), -(-160 // size), 3))
        pixels = np.kron(small, np.ones((size, size, 1)))[:160, :160]
    else:
        share = (
            (x * size + y) // 40 % 2,
            np.zeros_like(x),
            (x + size * y) / (160 * (1 + size)),
            np.hypot(x - 80, y - 80) < 5 * size,
        )[kind - 1][..., None]
        pixels = colour * share + other * (1 - share)
    return Image.fromarray(pixels.astype(np.uint8))


def main(root: str, model: str) -> None:
    """Plant, read, compare, print."""
    subject = open_model(model, pretrained=True)
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(root), Path(folder))
        sources = {
            split: FolderSource(
                root=folder,
                split=split,
                image_size=subject.image_size,
                load_size=subject.image_size,
            )
            for split in ("train", "val")
        }
        reader = Reader(subject, tiles=None, precision="fp32")
        with frozen(reader.network, reader.device):
            features, looks, places = read_vectors(reader, sources, batch_size=128, num_workers=0)
        images = [Named(image_name(sources[split], split, at), split) for split, at in places]
    whitened, looked = features.whitened(), looks.whitened()
    for similarity in SIMILARITIES:
        joined = groups_of(whitened.rows, similarity=similarity)
        near = nearest_apart([whitened, looked], joined, k=20)
        found = findings(images, whitened.rows, joined, near, outlier=3)
        group = {
            one: at for at, each in enumerate(found.groups) for one in (each.kept, *each.copies)
        }
        number = {image.path: at for at, image in enumerate(images)}
        shares = []
        for kind in KINDS:
            pairs = [
                (number[f"{Path(path).name[:4]}.png"], at)
                for path, at in number.items()
                if path.endswith(f"-{kind}.jpg")
            ]
            hits = [one in group and group[one] == group.get(other) for one, other in pairs]
            shares.append(f"{kind} {np.mean(hits):4.0%}")
        planted = {path[:4] for path in number if "-" in path}
        others = [images[one].path for one in group if images[one].path[:4] not in planted]
        wrong = [path for path in others if not path.startswith("odd")]
        largest = max((len(each.copies) + 1 for each in found.groups), default=0)
        print(
            f"similarity={similarity}: {', '.join(shares)}, {len(wrong)} others, largest {largest}"
        )
    for what, kinds in (("features and looks", [whitened, looked]), ("features", [whitened])):
        near = nearest_apart(kinds, joined, k=20)
        found = findings(images, whitened.rows, joined, near, outlier=3)
        for outlier in OUTLIERS:
            odd = [images[at].path for at in np.flatnonzero(found.deviations >= outlier)]
            planted_odd = [path for path in odd if path.startswith("odd")]
            print(
                f"{what}, outlier={outlier}: {len(planted_odd)} of {ODD} odd,"
                f" {len(odd) - len(planted_odd)} others"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
