"""Read a folder of images, labelled or not: item -> (uint8 (C, S, S), label, index of the image
shown).

How a folder is understood, split and labelled stands in ``layout.py``; ``FolderSource.split_rule``
says which case it was. Labels are for probes: training ignores them, and -1 means none. What
happens to damage stands in ``source.py``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ssl_patches.data.arrays import check_value_range
from ssl_patches.data.files import FileSource, Reading, read_skip
from ssl_patches.data.index.images import TableImages
from ssl_patches.data.index.listing import list_folder
from ssl_patches.data.index.table import Paths
from ssl_patches.data.labels import said_alike
from ssl_patches.data.layout import divide
from ssl_patches.data.left_out import said
from ssl_patches.data.source import Request
from ssl_patches.data.suffixes import SUFFIXES


class FolderSource(FileSource):
    """The images of one split of a folder.

    ``root``: the folder. ``channels``: 1 or 3; any other number for TIFF and npy that hold it.
    ``value_range``: the stored values that become 0 and 255 in files of more than 8 bits; None: the
    range of their type, see ``arrays.py``.
    ``load_size``: side in pixels of what an item holds; None takes the median shorter side of this
    split's images, kept within ``image_size`` and twice that, so that a random crop of
    ``image_size`` has real pixels to work on. ``load_size=image_size`` gives exactly the exported
    preprocessing. ``skip``: a quarantine list of ``ssl-patches doctor``, what it names is left out;
    None: nothing is. ``max_corrupt``: the share of unreadable files (0..1) above which
    ``ValueError`` is raised. Why: single files break, one in a hundred is a copy that went wrong.
    ``split_folders``: whether folders named like splits (train, valid, test, ...) are the splits;
    false: they are folders as any other. None: they are, and what can be read in two ways is
    refused. Why: a class may be called train. ``max_conflicts``: how many files may lie on both
    sides, by links; they are held out and not trained on. Why: what was trained on tells nothing.

    Attributes: ``paths`` (readable by their headers), ``labels`` (N,) int64 with -1 = none,
    ``classes``, ``corrupt`` [(path, reason)] by header, ``ignored`` (how many files are not
    images), ``remarks`` (what is used for nothing, and why), ``split_rule``, ``load_size``.
    """

    def __init__(
        self,
        *,
        root: str,
        split: Literal["train", "val"],
        image_size: int,
        channels: int = 3,
        value_range: Sequence[float] | None = None,
        load_size: int | None = None,
        skip: str | None = None,
        max_corrupt: float = 0.01,
        split_folders: bool | None = None,
        max_conflicts: int = 0,
    ) -> None:
        request = Request(
            split=split, image_size=image_size, channels=channels, load_size=load_size
        )
        reading = Reading(channels, check_value_range(value_range))
        root, where = os.path.expanduser(root), f"data.root={root}"
        if not os.path.isdir(root):
            what = (
                "is a file; unpack it and name the folder"
                if os.path.isfile(root)
                else "does not exist"
            )
            raise ValueError(f"{where}: must be a folder of images, but {what}; set data.root=DIR")
        found = list_folder(root, channels=channels)
        self.ignored = found.others
        skipped = read_skip(skip, Paths(found, np.arange(len(found)), whole=False), where=where)
        chosen = divide(
            TableImages(found), split, split_folders=split_folders, max_conflicts=max_conflicts
        )
        rows, labels = chosen.images, chosen.labels
        if skipped:
            wanted = [name not in skipped for name in Paths(found, rows, whole=False)]
            rows, labels = rows[wanted], labels[wanted]
        if not len(rows):
            raise ValueError(
                f"{where}: must hold images for {split}, but has {len(found)} images"
                f" ({' '.join(SUFFIXES)}) and {self.ignored} other files below it ({chosen.rule}),"
                f" of which data.skip names {len(skipped)}; {_first(found.left)}set data.root to"
                " the folder of the images"
            )
        super().__init__(
            found,
            rows,
            labels,
            where=where,
            request=request,
            reading=reading,
            classes=chosen.classes,
            split_rule=chosen.rule
            + (f"; {len(chosen.images) - len(rows)} skipped" if skipped else ""),
            max_corrupt=max_corrupt,
            of_all=len(found) - len(skipped),
            remarks=[*said([*found.left, *chosen.left]), *said_alike(chosen.classes)],
        )


def _first(left: Sequence[object]) -> str:
    """Return what is left out first, in words, where something is."""
    return f"{left[0]}; " if left else ""
