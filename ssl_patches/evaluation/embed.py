"""Write the features of every image as a Parquet file: a row per image, or per tile with its box.

Images go through the exported preprocessing and the model once, in order, as a stream: memory does
not grow with the folder. With ``tiles=N`` an image gives N x N rows, each the mean of the dense map
over one tile of the prepared image, so that a tile knows its surroundings. Of huge images
(``data=windows``) a window is what is prepared: a row per window, or N x N, with its box.

Traps: files that cannot be decoded are left out, not replaced, so rows and files are matched by
``path`` and never by number. Autocast gives bf16 vectors: they are stored as float32.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from tqdm import tqdm

from ssl_patches import config
from ssl_patches.config.messages import Say
from ssl_patches.config.version import __version__
from ssl_patches.data import build as build_data
from ssl_patches.data.build import data_name
from ssl_patches.data.index.listing import one_look
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders.subject import Subject, open_model
from ssl_patches.evaluation.features.extract import frozen
from ssl_patches.evaluation.features.reader import Reader, image_name
from ssl_patches.evaluation.floors import digest
from ssl_patches.evaluation.images import chosen_data, range_told, say_images
from ssl_patches.evaluation.parquet import METADATA, Chunks
from ssl_patches.evaluation.request import embed_request
from ssl_patches.types import ImageBatch


def embed_command(words: Sequence[str], *, config_dirs: Sequence[Path], say: Say) -> dict[str, Any]:
    """Write ``output`` and return what was written, for ``--json``.

    ValueError for a bad request, before anything is written.
    """
    words, changes = config.without_data_keys(words)
    cfg = embed_request(words, config_dirs=config_dirs)
    for key in ("batch_size", "rows_per_part"):
        if cfg[key] < 1:
            raise ValueError(f"{key}={cfg[key]}: must be at least 1; set {key}=256")
    if not cfg["splits"] or len(set(cfg["splits"])) < len(cfg["splits"]):
        raise ValueError(
            f"splits={cfg['splits']}: must name each split once; set splits=[train,val]"
        )
    subject = open_model(cfg["model"], pretrained=cfg["pretrained"])
    data, allowed = chosen_data(cfg, subject, changes, config_dirs=config_dirs)
    for line in range_told(cfg.get("data"), data, subject, cfg["model"]):
        say(line)
    reader = Reader(subject, tiles=cfg["tiles"], precision=cfg["precision"])
    node = {"data": data, "image_size": subject.image_size}
    with one_look():
        sources = {
            split: build_data.source(node, split, whole=True, allowed=allowed)
            for split in cfg["splits"]
        }
    known = "train" in sources and not cfg.get("data")
    say_images(say, subject, list(sources.values()), of_run=known and cfg["splits"][0] == "train")
    chunks = _chunks(cfg, subject, reader, data, sources)
    chunks.claim()
    with frozen(reader.network, reader.device):
        encoded = _stream(cfg, reader, sources, chunks, num_workers=data["num_workers"], say=say)
    rows = chunks.join(cfg["splits"])
    unreadable = sum(len(source.unreadable()) for source in sources.values())
    if unreadable:
        say(f"{unreadable} files could not be read and have no row")
    say(f"{chunks.output}: {rows} rows of {reader.dim} numbers")
    say(f"read it:  pandas.read_parquet('{chunks.output}')")
    return {
        "output": str(chunks.output),
        "rows": rows,
        "dim": reader.dim,
        "unreadable": unreadable,
        **encoded,
    }


def _chunks(
    cfg: Mapping[str, Any],
    subject: Subject,
    reader: Reader,
    data: Mapping[str, Any],
    sources: Mapping[str, ImageSource],
) -> Chunks:
    """``request`` holds all that the rows depend on; the file carries it as metadata."""
    request = {
        "model": {"name": cfg["model"], "weights_sha256": digest(subject.model)},
        "preprocessing": {
            "image_size": subject.image_size,
            "mean": list(subject.mean),
            "std": list(subject.std),
            "value_range": data.get("value_range"),
        },
        "data": {"root": str(data.get("root", "")), "name": data_name(data)},
        "fingerprints": {name: source.fingerprint() for name, source in sources.items()},
        "files": {name: source.kept_key() for name, source in sources.items()},
        "classes": next(
            (list(source.classes) for source in sources.values() if source.classes), []
        ),
        **{
            key: cfg[key] for key in ("splits", "tiles", "precision", "batch_size", "rows_per_part")
        },
        "versions": {"ssl_patches": __version__, "torch": torch.__version__},
    }
    amounts = any(_amounts(source.labels) for source in sources.values())
    label = pa.float64() if amounts else pa.int64()
    columns = [("path", pa.string()), ("split", pa.string()), ("label", label)]
    boxed = reader.tiles or any(source.boxes is not None for source in sources.values())
    columns += [("box", pa.list_(pa.int32(), 4))] if boxed else []
    schema = pa.schema([*columns, ("vector", pa.list_(pa.float32(), reader.dim))])
    schema = schema.with_metadata({METADATA: json.dumps(request)})
    return Chunks(Path(cfg["output"]).expanduser(), request, schema, overwrite=cfg["overwrite"])


def _stream(
    cfg: Mapping[str, Any],
    reader: Reader,
    sources: Mapping[str, Any],
    chunks: Chunks,
    *,
    num_workers: int,
    say: Say,
) -> dict[str, Any]:
    """Encode what is missing, chunk by chunk; how many images that were, and the seconds spent
    waiting for them."""
    rows = 1 if reader.boxes is None else len(reader.boxes)
    batches = max(1, cfg["rows_per_part"] // (rows * cfg["batch_size"]))
    each = batches * cfg["batch_size"]  # images in a chunk
    starts = {
        split: min(chunks.done(split) * each, len(source)) for split, source in sources.items()
    }
    total, before = sum(map(len, sources.values())), sum(starts.values())
    if before:
        say(f"goes on after {before} of {total} images")
    images, waited, began = 0, 0.0, time.monotonic()
    with tqdm(
        total=total,
        initial=before,
        unit="image",
        disable=not sys.stderr.isatty(),
        dynamic_ncols=True,
    ) as bar:
        for split, source in sources.items():
            if starts[split] == len(source):
                continue
            loader = ordered_loader(
                source, batch_size=cfg["batch_size"], num_workers=num_workers, start=starts[split]
            )
            stream = _timed(loader)
            for number in range(starts[split] // each, -(-len(source) // each)):
                tables = []
                for seconds, batch in islice(stream, batches):
                    tables.append(_table(chunks.schema, reader, source, split, batch))
                    images, waited = images + len(batch.images), waited + seconds
                    bar.update(len(batch.images))
                    bar.set_postfix_str(
                        f"waiting for data {waited / max(time.monotonic() - began, 1e-9):.0%}"
                    )
                chunks.write(split, number, pa.concat_tables(tables))
    return {
        "encoded": images,
        "seconds": round(time.monotonic() - began, 3),
        "seconds_waiting": round(waited, 3),
    }


def _timed(loader: Any) -> Iterator[tuple[float, ImageBatch]]:
    """Each batch with the seconds that it kept us waiting."""
    began = time.monotonic()
    for batch in loader:
        yield time.monotonic() - began, batch
        began = time.monotonic()


def _table(
    schema: pa.Schema, reader: Reader, source: Any, split: str, batch: ImageBatch
) -> pa.Table:
    count, rows = len(batch.images), 1 if reader.boxes is None else len(reader.boxes)
    vectors = reader(batch.images).numpy() if count else np.zeros((0, rows, reader.dim), np.float32)
    paths = [image_name(source, split, index) for index in batch.index.tolist()]
    labels = [_label(label) for label in batch.labels.tolist()]
    columns = {
        "path": pa.array(np.repeat(np.array(paths, dtype=object), rows), pa.string()),
        "split": pa.array([split] * (count * rows), pa.string()),
        "label": pa.array(
            [label for label in labels for _ in range(rows)], schema.field("label").type
        ),
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.reshape(-1), pa.float32()), reader.dim
        ),
    }
    if (boxes := _boxes(reader, source, batch.index.tolist())) is not None:
        flat = boxes.astype(np.int32).reshape(-1)
        columns["box"] = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.int32()), 4)
    return pa.table(columns, schema=schema)


def _boxes(reader: Reader, source: ImageSource, indices: Sequence[int]) -> np.ndarray | None:
    """Return y, x, h, w of each row (N, 4), None where rows have no boxes.

    Those of tiles are in pixels of the prepared image. Where items are windows they are in pixels
    of the image that the windows are cut from, those of tiles too.
    """
    if source.boxes is None:
        return None if reader.boxes is None else np.tile(reader.boxes, (len(indices), 1))
    windows = np.array([source.boxes[index] for index in indices], float).reshape(-1, 1, 4)
    if reader.boxes is None:
        return windows.reshape(-1, 4)
    scale = np.tile(windows[..., 2:] / reader.size, 2)  # heights, widths
    tiles = np.rint(reader.boxes * scale)
    tiles[..., :2] += windows[..., :2]
    return tiles.reshape(-1, 4)


def _amounts(labels: Tensor | None) -> bool:
    """Tell whether labels are amounts, not classes."""
    return labels is not None and labels.is_floating_point()


def _label(label: float) -> float | None:
    """Return a label as a cell: None where there is none."""
    if isinstance(label, float):
        return label if math.isfinite(label) else None
    return label if label >= 0 else None
