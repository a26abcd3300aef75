"""Run ``ssl-patches duplicates``: near-copies and odd images of a folder, as a CSV and a page."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ssl_patches import config
from ssl_patches.config.atomic import write_text
from ssl_patches.config.messages import Say
from ssl_patches.data import build as build_data
from ssl_patches.data.index.listing import one_look
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders.subject import open_model
from ssl_patches.evaluation.duplicates.findings import (
    Findings,
    Image,
    across_splits,
    findings,
    write_csv,
    wrote_findings,
)
from ssl_patches.evaluation.duplicates.looks import LOOKS, looks_of
from ssl_patches.evaluation.duplicates.neighbours import VectorFile, groups_of, nearest_apart
from ssl_patches.evaluation.duplicates.page import MARK, findings_page
from ssl_patches.evaluation.features.extract import frozen
from ssl_patches.evaluation.features.reader import Reader, image_name
from ssl_patches.evaluation.images import chosen_data, range_told, say_images
from ssl_patches.evaluation.request import duplicates_request, of_folder


def duplicates_command(
    words: Sequence[str], *, config_dirs: Sequence[Path], say: Say
) -> dict[str, Any]:
    """Write ``output`` and the page beside it, and return what was found, for ``--json``.

    ValueError for a bad request, before anything is written.
    """
    cfg = duplicates_request(words, config_dirs=config_dirs)
    changes = config.without_data_keys(of_folder(words))[1]
    table, html = _outputs(cfg)
    subject = open_model(cfg["model"], pretrained=cfg["pretrained"])
    data, allowed = chosen_data(cfg, subject, changes, config_dirs=config_dirs)
    for line in range_told(cfg.get("data"), data, subject, cfg["model"]):
        say(line)
    node = {"data": data, "image_size": subject.image_size}
    with one_look():
        sources = {
            split: build_data.source(node, split, whole=True, allowed=allowed)
            for split in cfg["splits"]
        }
    say_images(say, subject, list(sources.values()), of_run=False)
    reader = Reader(subject, tiles=None, precision=cfg["precision"])
    with frozen(reader.network, reader.device):
        features, looks, places = read_vectors(
            reader, sources, batch_size=cfg["batch_size"], num_workers=data["num_workers"]
        )
    if len(places) < 3:
        raise ValueError(
            f"data: has {len(places)} readable images, and copies and odd ones are told from 3 on;"
            " set data.root to a larger folder"
        )
    images = [_image(sources[split], split, at) for split, at in places]
    found = _found(cfg, images, features, looks)
    unreadable = sum(len(source.unreadable()) for source in sources.values())
    told = _told(cfg, images, found, unreadable=unreadable)

    def pixels(one: int) -> Tensor:
        split, at = places[one]
        return sources[split][at][0]

    write_csv(table, images, found)
    write_text(html, findings_page(images, found, pixels, told))
    for line in (*told, str(table), str(html)):
        say(line)
    say(f"leave them out:  ssl-patches pretrain ... data.skip={table}")
    return {
        "output": str(table),
        "page": str(html),
        "images": len(images),
        "groups": len(found.groups),
        "copies": sum(len(group.copies) for group in found.groups),
        "groups_across_splits": across_splits(images, found),
        "outliers": len(found.outliers),
        "unreadable": unreadable,
    }


def read_vectors(
    reader: Reader, sources: Mapping[str, ImageSource], *, batch_size: int, num_workers: int
) -> tuple[VectorFile, VectorFile, list[tuple[str, int]]]:
    """Read the features and the looks of every image once, onto disk; and (split, index) of each.

    ValueError for ``batch_size`` below 1.
    """
    features, looks, places = VectorFile(reader.dim), VectorFile(LOOKS), []
    with tqdm(
        total=sum(map(len, sources.values())),
        unit="image",
        disable=not sys.stderr.isatty(),
        dynamic_ncols=True,
    ) as bar:
        for split, source in sources.items():
            for batch in ordered_loader(source, batch_size=batch_size, num_workers=num_workers):
                if len(batch.images):
                    features.add(reader(batch.images)[:, 0].numpy())
                    looks.add(looks_of(batch.images).numpy())
                    places += [(split, at) for at in batch.index.tolist()]
                bar.update(len(batch.images))
    return features, looks, places


def _found(
    cfg: Mapping[str, Any], images: Sequence[Image], features: VectorFile, looks: VectorFile
) -> Findings:
    whitened = features.whitened()
    group = groups_of(whitened.rows, similarity=cfg["similarity"])
    near = nearest_apart([whitened, looks.whitened()], group, k=_neighbours(cfg, images))
    return findings(images, whitened.rows, group, near, outlier=cfg["outlier"])


def _neighbours(cfg: Mapping[str, Any], images: Sequence[Image]) -> int:
    """Count the neighbours that are looked at: as many as there are others, at most."""
    return min(int(cfg["neighbours"]), len(images) - 1)


def _image(source: ImageSource, split: str, at: int) -> Image:
    """Tell the name and the size of the file of an image."""
    size = 0
    if source.paths and source.boxes is None and os.path.isfile(source.paths[at]):
        size = os.path.getsize(source.paths[at])
    return Image(image_name(source, split, at), split, size)


def _outputs(cfg: Mapping[str, Any]) -> tuple[Path, Path]:
    """Return the CSV and the page. ValueError where one may not be written."""
    table = Path(cfg["output"]).expanduser()
    if table.suffix != ".csv":
        raise ValueError(f"output={table}: must end in .csv; set output={table}.csv")
    html = table.with_suffix(".html")
    if not table.parent.is_dir():
        raise ValueError(f"output={table}: there is no folder {table.parent}; make it")
    for path in (table, html):
        if not path.exists():
            continue
        if path.is_dir():
            raise ValueError(f"output={table}: {path} is a folder; set another output")
        if not cfg["overwrite"]:
            raise ValueError(
                f"output={table}: {path} exists already; set another output, or overwrite=true"
            )
        if not _wrote(path):
            raise ValueError(
                f"output={table}: overwrite=true replaces what duplicates wrote, and {path} is"
                " something else; set another output"
            )
    return table, html


def _wrote(path: Path) -> bool:
    if path.suffix == ".csv":
        return wrote_findings(path)
    with path.open("rb") as file:
        return MARK.encode() in file.read(200)


def _told(
    cfg: Mapping[str, Any], images: Sequence[Image], found: Findings, *, unreadable: int
) -> list[str]:
    copies = sum(len(group.copies) for group in found.groups)
    lines = [
        (
            f"{len(images):,} images; {copies:,} near-copies in {len(found.groups):,} groups"
            f" (cosine of {cfg['similarity']:g} or more); {len(found.outliers):,} odd images"
            f" ({cfg['outlier']:g} deviations or more, by the mean distance to"
            f" {_neighbours(cfg, images)} neighbours)"
        )
    ]
    if across := across_splits(images, found):
        lines.append(
            f"{across:,} groups lie in train and val: if they are copies (look at the page), what"
            " is tested was trained on"
        )
    if unreadable:
        lines.append(f"{unreadable:,} files could not be read")
    return lines
