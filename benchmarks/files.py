"""What it costs to get at images: windows of a huge one, images in shards, and many files.

    OMP_NUM_THREADS=1 python benchmarks/files.py windows|shards|listing [--side 40000]
        [--images 500000] [--rounds 2] [--folder DIR] [--output FILE.json]

``windows``: 100 windows of 512 px of one tiled TIFF (JPEG tiles of 256 px, no smaller copies, the
hardest case), through ``data=windows``, in a process of its own: CPU milliseconds of each, the
memory that the process took beyond its imports, and how long the windows were looked for at the
first start and at the second. The file is made here, of 64 different tiles; it is read once before
it is measured, so the disk does not count.

``shards``: the loader of training over 1,000 JPEG of 256 px as a folder, as tar shards that
``ssl-patches pack`` wrote of it, and as Parquet: images per CPU second of this process, contenders
in turns, ratios within a round.

``listing``: folders of 500 and of ``--images`` tiny PNG, 500 a class. What a start costs until
train, val and their fingerprints are there, in processes of their own: CPU seconds of the process
and its children, first (nothing kept) and once more; and what main process and two workers take
together while they load (PSS, so shared pages count once). Files are hot: each is read before.
``--rounds``: so often; the least of the rounds counts, since other work only adds. ``--folder``:
the images stay there, for the next time.
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
    parser.add_argument("what", choices=("windows", "shards", "listing", "read-windows", "start"))
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.what == "read-windows":
        print(json.dumps(read_windows(given.folder)))
        return
    if given.what == "start":
        print(json.dumps(start(given.folder)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        place = Path(made)
        if given.what == "listing":
            result = listing(given.folder or place, place, given.images, given.rounds)
        else:
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
    from ssl_patches.data.order import permutation

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


def listing(folder: Path, kept: Path, images: int, rounds: int) -> dict[str, Any]:
    """Start on few and on many images, with nothing kept and once more, some times over."""
    few, many = 500, images
    found: dict[int, list[list[dict[str, float]]]] = {few: [], many: []}
    for turn in range(rounds):
        os.environ["XDG_CACHE_HOME"] = str(kept / f"kept{turn}")
        for count in (few, many):
            root = folder / f"f{count}"
            if not root.exists():
                write_many(root, count)
                time.sleep(5)  # files that were just written are not believed
            for path in root.rglob("*.png"):
                path.read_bytes()
            found[count].append([_apart("start", root) for _ in range(2)])
    least = {
        count: [min(at[turn]["CPU s"] for at in starts) for turn in range(2)]
        for count, starts in found.items()
    }
    extra = [long - short for short, long in zip(least[few], least[many], strict=True)]
    held = found[many][-1][-1]["PSS, bytes"] - found[few][-1][-1]["PSS, bytes"]
    table = next(iter(sorted((kept / "kept0").rglob("*.index"))), None)
    return {
        "images": many,
        "CPU us of stat, which the system takes": _stat_cost(next(root.rglob("*.png"))),
        f"start with {few}": found[few],
        f"start with {many}": found[many],
        "first start, CPU us a file": round(extra[0] / many * 1e6, 1),
        f"second start, CPU s over that with {few}": round(extra[1], 2),
        "main process and 2 workers, bytes a file": round(held / (many - few), 1),
        "kept on the disk, bytes a file": round(table.stat().st_size / many, 1) if table else None,
    }


def write_many(root: Path, images: int, *, of_class: int = 500) -> None:
    """Write tiny PNG of 16 contents into class folders."""
    import io

    from PIL import Image

    draw, contents = np.random.default_rng(0), []
    for at in range(16):
        file = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (8 + at % 3, 8, 3), np.uint8)).save(file, "PNG")
        contents.append(file.getvalue())
    of_class = min(of_class, images // 10)
    for at in range(images):
        group, number = divmod(at, of_class)
        folder = root / f"n{group:05}"
        if number == 0:
            folder.mkdir(parents=True)
        (folder / f"n{group:05}_{37 * number:06}.png").write_bytes(contents[at % 16])


def start(root: Path) -> dict[str, float]:
    """Do what a run does with a folder until it reads images, and read some."""
    from ssl_patches.data import FolderSource
    from ssl_patches.data.index.listing import one_look
    from ssl_patches.data.module import EndlessBatches, collate, loader

    began, clock = _spent(), time.perf_counter()
    with one_look():
        train, val = (
            FolderSource(root=str(root), split=split, image_size=64) for split in ("train", "val")
        )
    train.fingerprint()
    val.fingerprint()
    spent, waited = _spent() - began, time.perf_counter() - clock
    batches = EndlessBatches(length=len(train), batch_size=64, seed=0)
    stream = iter(loader(train, batch_sampler=batches, num_workers=2, collate_fn=collate))
    for _ in range(20):
        next(stream)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    taken = sum(_pss(process) for process in ("self", *children))
    return {"CPU s": round(spent, 3), "s": round(waited, 3), "PSS, bytes": taken}


def _pss(process: str) -> int:
    """Return the bytes of a process without those of libraries, which strangers may share."""
    total, counted = 0, False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if first == "Pss:":
            total += counted * 1024 * int(rest[0])
        elif not first.endswith(":"):  # a mapping: of memory alone, or of what is kept
            counted = len(rest) < 5 or rest[-1].endswith(".index") or rest[4].startswith("[heap")
            counted = counted or rest[4].startswith("/dev/shm")
    return total


def _spent() -> float:
    """Return the CPU seconds of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _stat_cost(path: Path) -> float:
    began = time.process_time()
    for _ in range(100_000):
        os.stat(path)
    return round(10 * (time.process_time() - began), 2)


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
