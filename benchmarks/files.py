"""What it costs to get at images: windows of a huge one, and images in shards.

    OMP_NUM_THREADS=1 python benchmarks/files.py windows|shards [--side 40000] [--folder DIR]
        [--output FILE.json]

``windows``: 100 windows of 512 px of one tiled TIFF (JPEG tiles of 256 px, no smaller copies, the
hardest case), through ``data=windows``, in a process of its own: CPU milliseconds of each, the
memory that the process took beyond its imports, and how long the windows were looked for at the
first start and at the second. The file is made here, of 64 different tiles; it is read once before
it is measured, so the disk does not count.

``shards``: the loader of training over 1,000 JPEG of 256 px as a folder, as tar shards that
``ssl-patches pack`` wrote of it, and as Parquet: images per CPU second of this process, contenders
in turns, ratios within a round.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TILE, WINDOW, COUNT = 256, 512, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("windows", "shards", "read-windows"))
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.what == "read-windows":
        print(json.dumps(read_windows(given.folder)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        place = Path(made)
        result = windows(place, given.side) if given.what == "windows" else shards(place)
    print(json.dumps(result, indent=2))
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(result, indent=2) + "\n")


def windows(folder: Path, side: int) -> dict[str, Any]:
    """Make the image, and read windows of it in two processes, one after the other."""
    (folder / "images").mkdir()
    path = folder / "images" / "huge.tif"
    write_huge(path, side)
    with path.open("rb") as file:
        while file.read(2**24):
            pass
    first, second = (_apart("read-windows", folder) for _ in range(2))
    return {
        "image": f"{side} x {side} px, {path.stat().st_size / 2**20:,.0f} MiB",
        "first start": first,
        "second start": second,
    }


def write_huge(path: Path, side: int) -> None:
    """Write a tiled TIFF of colour whose tiles are 64 different ones, over and over."""
    import tifffile

    draw = np.random.default_rng(0)
    cells = draw.integers(0, 256, (8 * TILE // 8, 8 * TILE // 8, 3), dtype=np.uint8)
    pixels = np.kron(cells, np.ones((8, 8, 1), np.uint8)).astype(np.int16)
    pixels = np.clip(pixels + draw.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    options: dict[str, Any] = {
        "tile": (TILE, TILE),
        "photometric": "rgb",
        "compression": "jpeg",
        "compressionargs": {"level": 90},
    }
    small = path.with_name("tiles.tif")
    tifffile.imwrite(small, pixels, **options)
    with tifffile.TiffFile(small) as opened:
        page: Any = opened.pages[0]
        content = small.read_bytes()
        places = zip(page.dataoffsets, page.databytecounts, strict=True)
        encoded = [content[place : place + count] for place, count in places]
    small.unlink()
    tiles = itertools.islice(itertools.cycle(encoded), (-(-side // TILE)) ** 2)
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(tiles, shape=(side, side, 3), dtype=np.uint8, **options)


def read_windows(folder: Path) -> dict[str, float]:
    """Read windows in this process, as a loader worker would."""
    from ssl_patches.data import WindowSource
    from ssl_patches.data.module import permutation

    before = _memory()
    began = time.perf_counter()
    source = WindowSource(
        root=str(folder / "images"),
        split="train",
        image_size=224,
        window=WINDOW,
        unpacked_dir=str(folder / "kept"),
    )
    laid = time.perf_counter() - began
    spent = []
    for index in permutation(len(source), 0, 0)[:COUNT]:
        began = time.process_time()
        source[int(index)]
        spent.append(1000 * (time.process_time() - began))
    return {
        "windows": len(source),
        "seconds to find them": round(laid, 2),
        "ms a window, median": round(statistics.median(spent), 2),
        "ms a window, most": round(max(spent), 2),
        "MiB beyond imports": round(_memory() - before, 1),
        "MiB of the imports": round(before, 1),
    }


def shards(folder: Path, *, images: int = 1000, rounds: int = 5) -> dict[str, Any]:
    """Read the same images from a folder, from tar and from Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from input import textures
    from PIL import Image

    from ssl_patches.data import FolderSource, ShardSource
    from ssl_patches.data.shards.pack import pack_command

    (folder / "images").mkdir()
    for at, picture in enumerate(textures(images, 256)):
        pixels = picture.permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / "images" / f"{at:05}.jpg", quality=90)
    root, packed = str(folder / "images"), str(folder / "packed")
    pack_command({"data": {"root": root}, "output": packed, "shard_mb": 5}, say=lambda _: None)
    source = FolderSource(root=root, split="train", image_size=224)
    cells = [{"bytes": Path(path).read_bytes(), "path": path} for path in source.paths]
    (folder / "parquet").mkdir()
    for name, part in (("train", cells), ("val", cells[:10])):
        pq.write_table(pa.table({"image": part}), folder / "parquet" / f"{name}.parquet")
    options: Any = {"split": "train", "image_size": 224, "shard_dir": str(folder / "kept")}
    sources = {
        "folder": source,
        "tar": ShardSource(path=packed, **options),
        "parquet": ShardSource(path=str(folder / "parquet"), **options),
    }
    rates: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(rounds):
        for name, found in sources.items():
            rates[name].append(_rate(found))
    ratios = {
        name: [one / other for one, other in zip(rates[name], rates["folder"], strict=True)]
        for name in sources
    }
    return {
        name: {
            "images per CPU second": round(statistics.median(rates[name])),
            "times the folder": [round(each, 3) for each in statistics.quantiles(ratios[name])],
        }
        for name in sources
    }


def _rate(source: Any, *, batches: int = 12) -> float:
    """Return images per CPU second of the stream of training."""
    from ssl_patches.data.training_stream import PatchDataModule

    module = PatchDataModule(train=source, val=None, batch_size=64, num_workers=0, seed=0)
    stream = iter(module.train_dataloader())
    next(stream)
    began = time.process_time()
    for _ in range(batches):
        next(stream)
    return 64 * batches / (time.process_time() - began)


def _memory() -> float:
    """Return the most MiB that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _apart(what: str, folder: Path) -> dict[str, float]:
    words = [sys.executable, __file__, what, "--folder", str(folder)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=dict(os.environ))
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
