"""Read data sets of Hugging Face saved on disk (Arrow): ``data=huggingface data.path=DIR``, what
``save_to_disk`` wrote.

Images stay the encoded files that they are in Arrow and go through the same decoder as any file:
orientation, transparency, 16 bits and damage are handled alike, and nothing is decoded before it is
needed. Needs ``ssl-patches[hf]``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ssl_patches.config.messages import nearest
from ssl_patches.data.arrays import check_value_range
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.datasets_private import fingerprint
from ssl_patches.data.decode import decode
from ssl_patches.data.formats import (
    BEGIN,
    library_missing_for,
    suffix_by,
    unreadable_suffixes,
)
from ssl_patches.data.headers import extent_of_bytes, header
from ssl_patches.data.labels import one_order
from ssl_patches.data.layout import divide_numbers
from ssl_patches.data.left_out import Aside, LeftOut
from ssl_patches.data.source import Request
from ssl_patches.data.splits import held_of, side_of
from ssl_patches.data.stored_source import StoredSource

IMAGE_COLUMNS = ("image", "img")
PROBED = 64  # images whose size decides the load size


class HuggingFaceSource(StoredSource):
    """The images of one split of a data set of Hugging Face on disk; ValueError without them.

    ``path``: a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote.

    ``image_column``: None takes ``image``, or the first column of images. ``label_column``: None:
    no labels. The rest as for ``FolderSource``. Of several splits ``train`` and the first of
    validation and test are taken; a single one is divided 80/20 by the number of a row.
    """

    labels: Tensor

    def __init__(
        self,
        *,
        path: str,
        split: Literal["train", "val"],
        image_size: int,
        image_column: str | None = None,
        label_column: str | None = None,
        channels: int = 3,
        value_range: Sequence[float] | None = None,
        load_size: int | None = None,
        max_corrupt: float = 0.01,
    ) -> None:
        request = Request(
            split=split, image_size=image_size, channels=channels, load_size=load_size
        )
        if channels not in (1, 3):
            raise ValueError(
                f"data.channels={channels}: images in Arrow have 1 (grey) or 3 (RGB); set"
                " data.channels=3"
            )
        found = _open(path)
        table, rule, numbers, self.remarks = _split(found, split, path)
        from datasets import Image

        columns = [name for name, feature in table.features.items() if isinstance(feature, Image)]
        usual = next((each for each in IMAGE_COLUMNS if each in columns), None)
        name = image_column or usual or next(iter(columns), None)
        if name is None or name not in columns:
            hint = nearest(
                str(name),
                columns,
                prefix="data.image_column=",
                otherwise="cast it with datasets.Image()",
            )
            raise ValueError(
                f"data.image_column={name}: {path} has no such column of images; {hint}"
            )
        if image_column is None and len(columns) > 1:
            others = ", ".join(other for other in columns if other != name)
            self.remarks.append(
                f"images of the columns {others} are not used: data.image_column={name} where none"
                " is said"
            )
        rows = table.select_columns([name]).cast_column(name, Image(decode=False))
        if (without := unreadable_suffixes()) and len(rows):
            kept, left = _with_library(rows, name, without)
            if not kept:
                raise ValueError(f"data.path={path}: must hold images for {split} ({left[0]})")
            if left:
                self.remarks += map(str, left)
                table, rows = table.select(kept), rows.select(kept)
                numbers = [numbers[at] for at in kept]
        self.rows, self.image_column, self.channels = rows, name, channels
        self.value_range = check_value_range(value_range)
        named = [each.features for each in _parts(found)]
        labels, classes = _labels(table, label_column, path, named)
        probed = [self._extent(at) for at in range(0, len(table), max(1, len(table) // PROBED))]
        super().__init__(
            where=f"data.path={path}",
            names=[f"{split} row {at}" for at in range(len(table))],
            labels=labels,
            classes=classes,
            split_rule=rule,
            load_size=request.side(
                [extent for extent in probed if extent] or [(image_size, image_size)]
            ),
            corrupt=[],
            identity=[fingerprint(table), split, name],
            files=[*(file["filename"] for file in table.cache_files), *self._outside()],
            read_as={
                "channels": channels,
                "value_range": value_range,
                "rows": [split, len(table), name],
            },
            max_corrupt=max_corrupt,
        )
        self.known_as = [f"{split}/{number}" for number in numbers]

    def read(self, at: int) -> tuple[Tensor, int]:
        """Return image ``at`` as uint8 (C, S, S), and its label. Raises ``UnreadableImage``."""
        stored = self.rows[at][self.image_column]
        if stored is None or not (stored["bytes"] or stored["path"]):
            raise UnreadableImage(self.names[at], "is empty")
        name, content = stored["path"] or self.names[at], stored["bytes"]
        image = decode(
            name,
            channels=self.channels,
            size=self.load_size,
            value_range=self.value_range,
            data=content,
        )
        return image, int(self.labels[at])

    def _outside(self) -> list[str]:
        """Return the files that rows name instead of holding an image, as older datasets do."""
        first = self.rows[0][self.image_column] if len(self.rows) else None
        if not first or first["bytes"]:
            return []
        found: list[str] = []
        for batch in self.rows.with_format("arrow").iter(1000):
            found += filter(
                None, batch[self.image_column].combine_chunks().field("path").to_pylist()
            )
        return found

    def _extent(self, at: int) -> tuple[int, int] | None:
        """Return the extent of an image; None where it is damaged, told when it is asked for."""
        stored = self.rows[at][self.image_column]
        if stored is None or not (stored["bytes"] or stored["path"]):
            return None
        if stored["bytes"]:
            return extent_of_bytes(stored["bytes"])
        try:
            return header(stored["path"], channels=self.channels)
        except UnreadableImage:
            return None


def _with_library(
    rows: Any, column: str, without: Mapping[str, str]
) -> tuple[list[int], list[LeftOut]]:
    """Return which rows are of formats that can be read here, and what the others need.

    ``without``: of ``unreadable_suffixes``. A row without a name is known by its first bytes.
    """
    from pyarrow import compute

    kept, left, at = list[int](), Aside(), 0
    for batch in rows.with_format("arrow").iter(1000):
        cells = batch[column].combine_chunks()
        begins = compute.binary_slice(cells.field("bytes"), 0, BEGIN).to_pylist()
        for name, begin in zip(cells.field("path").to_pylist(), begins, strict=True):
            if why := library_missing_for(name or suffix_by(begin or b""), without):
                left.add(name or f"row {at}", why)
            else:
                kept.append(at)
            at += 1
    return kept, left.told()


def _open(path: str) -> Any:
    try:
        from datasets import load_from_disk
    except ImportError:
        raise ValueError(
            "data=huggingface: needs the package datasets; install it: pip install"
            " 'ssl-patches[hf]'"
        ) from None
    try:
        return load_from_disk(os.path.expanduser(path))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"data.path={path}: must be a folder that save_to_disk wrote ({reason}); set"
            " data.path=DIR"
        ) from None


def _split(found: Any, split: str, path: str) -> tuple[Any, str, Sequence[int], list[str]]:
    """Return the rows of a split, in words how they were chosen, their numbers, and remarks."""
    if isinstance(found, Mapping):  # a DatasetDict
        sides = {name: side_of(name) for name in found}
        wanted = "train" if split == "train" else held_of(sides.values())
        names = [name for name, side in sides.items() if side == wanted and side is not None]
        if names and "train" in sides.values():
            name = names[0]
            used = {
                next((name for name, other in sides.items() if other == side), None)
                for side in ("train", held_of(sides.values()))
            }
            remarks = [
                f"{len(rows):,} images of the split {other} are not used"
                for other, rows in found.items()
                if other not in used
            ]
            return found[name], f"the split {name} of {path}", range(len(found[name])), remarks
        if len(found) != 1 or held_of(sides.values()):
            raise ValueError(
                f"data.path={path}: has the splits {', '.join(found)}, must have train; name the"
                " folder of one split instead"
            )
        found = next(iter(found.values()))
    chosen = divide_numbers(len(found), split)
    if not chosen:
        raise ValueError(
            f"data.path={path}: must hold images for {split}, but has {len(found)} rows; give more"
        )
    return found.select(chosen), f"{path} divided 80/20 by the number of a row", chosen, []


def _parts(found: Any) -> list[Any]:
    return list(found.values()) if isinstance(found, Mapping) else [found]


def _labels(
    table: Any, column: str | None, path: str, parts: Sequence[Mapping[str, Any]]
) -> tuple[Tensor, list[str]]:
    """Return the labels (N,) of ``table``, -1 = none, and the names of their classes.

    ``parts``: the features of all splits, which may name their classes in another order.
    """
    if column is None:
        return torch.full((len(table),), -1, dtype=torch.int64), []
    if column not in table.features:
        hint = nearest(column, list(table.features), prefix="data.label_column=")
        raise ValueError(f"data.label_column={column}: {path} has no such column; {hint}")
    if not str(getattr(table.features[column], "dtype", "")).startswith(("int", "uint")):
        raise ValueError(
            f"data.label_column={column}: must hold whole numbers, but is {table.features[column]};"
            f" encode it once with dataset.class_encode_column('{column}')"
        )
    values = [-1 if value is None else value for value in table[column]]
    own = getattr(table.features[column], "names", None) or []
    named = [getattr(part[column], "names", None) or [] for part in parts if column in part]
    classes = one_order(named)
    if classes != own and min(map(len, named)) == 0:
        raise ValueError(
            f"data.label_column={column}: {path} has splits that name its classes and others that"
            " number them; cast them all with datasets.ClassLabel"
        )
    if classes != own:
        values = [value if value < 0 else classes.index(own[value]) for value in values]
    return torch.tensor(values, dtype=torch.int64), classes
