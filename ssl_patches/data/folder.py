"""A folder of images, labelled or not, as a source: item -> (uint8 (C, S, S), label, index of the
image shown).

How a folder is understood, split and labelled stands in ``layout.py``; ``FolderSource.split_rule``
says which case it was. Labels are for probes: training ignores them, and -1 means none. What
happens to damage stands in ``source.py``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ssl_patches.data.arrays import check_range
from ssl_patches.data.files import Reading, read_skip
from ssl_patches.data.layout import SUFFIXES, find_images, select
from ssl_patches.data.source import ImageSource, check_sizes, choose_load_size


class FolderSource(ImageSource):
    """Images of one split of a folder.

    ``root``: the folder. ``channels``: 1 or 3; any other number for TIFF and npy that hold it.
    ``value_range``: the stored values that become 0 and 255 in files of more than 8 bits; None: the
    range of their type, see ``arrays.py``.
    ``load_size``: side in pixels of what an item holds; None takes the median shorter side of this
    split's images, kept within ``image_size`` and twice that, so that a random crop of
    ``image_size`` has real pixels to work on. ``load_size=image_size`` gives exactly the exported
    preprocessing. ``skip``: a quarantine list of ``ssl-patches doctor``, what it names is left out;
    None: nothing is. ``max_corrupt``: the share of unreadable files (0..1) above which
    ``ValueError`` is raised. Why: single files break, one in a hundred is a copy that went wrong.

    Attributes: ``paths`` (readable by their headers), ``labels`` (N,) int64 with -1 = none,
    ``classes``, ``corrupt`` [(path, reason)] by header, ``ignored`` (how many files are not
    images), ``split_rule``, ``load_size``.
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
    ) -> None:
        check_sizes(split=split, image_size=image_size, channels=channels, load_size=load_size)
        self.reading = Reading(channels, check_range(value_range))
        self.root, where = os.path.expanduser(root), f"data.root={root}"
        if not os.path.isdir(self.root):
            what = (
                "is a file; unpack it and name the folder"
                if os.path.isfile(self.root)
                else "does not exist"
            )
            raise ValueError(f"{where}: must be a folder of images, but {what}; set data.root=DIR")
        found, self.ignored = find_images(self.root)
        skipped = read_skip(skip, [file.path for file in found], where=where)
        chosen = select(found, split, divided=os.path.isdir(os.path.join(self.root, "train")))
        files = [file for file in chosen.files if file.path not in skipped]
        if not files:
            raise ValueError(
                f"{where}: must hold images for {split}, but has {len(found)} images"
                f" ({' '.join(SUFFIXES)}) and {self.ignored} other files below it ({chosen.rule}),"
                f" of which data.skip names {len(skipped)}; set data.root to the folder of the"
                " images"
            )
        self.split_rule = chosen.rule + (
            f"; {len(chosen.files) - len(files)} skipped" if skipped else ""
        )

        extents, corrupt = self.reading.headers(
            [os.path.join(self.root, file.path) for file in files]
        )
        files = [file for file in files if os.path.join(self.root, file.path) in extents]
        number = {name: label for label, name in enumerate(chosen.classes)}
        tops = [file.path.removeprefix(chosen.prefix).split("/")[0] for file in files]
        self.paths = list(extents)
        super().__init__(
            where=where,
            names=self.paths,
            labels=torch.tensor([number.get(top, -1) for top in tops], dtype=torch.int64),
            classes=chosen.classes,
            corrupt=corrupt,
            identity=(f"{file.path}\0{file.bytes}\n" for file in files),
            max_corrupt=max_corrupt,
        )
        self.load_size = load_size or choose_load_size(extents.values(), image_size)

    def read(self, at: int) -> tuple[Tensor, int]:
        return self.reading.square(self.paths[at], self.load_size), int(self.labels[at])
