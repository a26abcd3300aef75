"""Read images with a class per pixel: what dense probes and the attention of a ViT are held
against.

A source *has masks* when ``source.mask(i)`` gives the ids of image i, ``source.mask_classes`` their
names and ``source.objects`` the ids that are things rather than background: the embedded images
have, and ``MaskFolder`` has. To pretraining both look like any other source; ``WithMasks`` puts the
mask where the label stands.

* the image is the exported preprocessing's square. The mask is cut to the same square but keeps
  *its own* resolution, so that predictions are enlarged to the mask and never the mask shrunk to
  the prediction;
* a mask's pixels are ids as stored: a palette is not applied, and an id is never interpolated;
* ids that mean "unlabelled" become -1, as a missing label does everywhere else.

The traps: (a) frames of a video are near copies, so images of one folder must not be divided by
chance; (b) an image that cannot be read has a mask that can, so here nothing is left out or
replaced: it is refused by name; (c) a camera's EXIF orientation turns the image alone, so such a
pair is refused: store both upright.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from statistics import median_low
from typing import Literal

import torch
from torch import Tensor

from ssl_patches.config.keys import changed_after, content_of, files_state, key_of
from ssl_patches.config.outside import read_text
from ssl_patches.data.arrays import check_value_range
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import DECODERS, decode
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.mask_files import (
    check_shape,
    found_ids,
    ids_of,
    images_with_masks,
    readable,
    refuse_turned,
)
from ssl_patches.data.source import HasMasks, ImageSource, choose_load_size
from ssl_patches.data.walk import find_images
from ssl_patches.data.wrapped import WrappedSource


class WithMasks(ImageSource):
    """The images of a source with their masks as labels: item -> (uint8 (C, S, S), int16 (H, W),
    index).

    ``classes``: the names of the ids. ValueError for a source without masks.
    """

    def __init__(self, source: ImageSource) -> None:
        if not isinstance(source, HasMasks):
            owner = source.source if isinstance(source, WrappedSource) else source
            raise ValueError(
                f"data: {type(owner).__name__} has no masks, and segmentation needs a class per"
                " pixel; name a folder of DIR/{train,test}/{images,masks} as data=camvid"
                " data.root=DIR, or data=embedded"
            )
        self.source, self.masks = source, source.mask
        self.classes, self.objects = source.mask_classes, source.objects
        self.reads_apart, self.remarks = source.reads_apart, source.remarks

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        """Return (image uint8 (C, S, S), mask int16 (H, W) with -1 = unlabelled, index)."""
        image, _, shown = self.source[index]
        return image, self.masks(shown).to(torch.int16), shown

    def fingerprint(self) -> str:
        """Return that of the source."""
        return self.source.fingerprint()

    def former_fingerprint(self) -> str:
        """Return that of the source."""
        return self.source.former_fingerprint()

    def kept_key(self) -> str:
        """Return that of the source."""
        return self.source.kept_key()


class MaskFolder(ImageSource):
    """A folder of images and masks: one mask per image, of the same name up to the suffix.

    The files are ``root``/{train,val,test}/{images,masks}/NAME.*. ``root``: the folder.
    ``held_out``: the folder that ``split="val"`` is, or the other of val and test where that is not
    there. Why: papers report on test. ``void``: ids that mean unlabelled. Why: 255 in most data
    sets. ``objects``: ids of things, what attention is held against. Why: nobody can guess them.
    ``root/classes.txt`` names the ids, ``ID NAME`` a line; without it the ids of the training masks
    are looked up. ``load_size`` as for ``FolderSource``. ValueError for an image without a mask,
    for files that cannot be read, for a mask of another shape than its image, and for ids without a
    name.
    """

    root: str
    load_size: int

    reads_apart = False

    def __init__(
        self,
        *,
        root: str,
        split: Literal["train", "val"],
        image_size: int,
        channels: int = 3,
        value_range: Sequence[float] | None = None,
        load_size: int | None = None,
        held_out: Literal["val", "test"] = "test",
        void: Sequence[int] = (255,),
        objects: Sequence[int] = (),
    ) -> None:
        if split not in ("train", "val"):
            raise ValueError(f"data.split={split}: must be train or val; set data.split=train")
        if held_out not in ("val", "test"):
            raise ValueError(
                f"data.held_out={held_out}: must be val or test; set data.held_out=test"
            )
        if channels not in (1, 3):
            raise ValueError(
                f"data.channels={channels}: image files have 1 (grey) or 3 (RGB); set"
                " data.channels=3"
            )
        self.root, self.channels, self.void = os.path.expanduser(root), channels, sorted(void)
        self.value_range, self._content = check_value_range(value_range), ""
        held = _held(self.root, held_out)
        folder = os.path.join(self.root, "train" if split == "train" else held)
        self.paths, self.mask_paths, self._lines = images_with_masks(folder)
        self.remarks = _unused(self.root, {"train", held})
        extents, mask_extents = readable(self.paths), readable(self.mask_paths)
        for path, own, other in zip(self.mask_paths, mask_extents, extents, strict=True):
            check_shape(path, own, other)
        refuse_turned(self.paths)
        self.load_size = load_size or choose_load_size(extents, image_size)
        self.mask_size = median_low(map(min, mask_extents))
        self.mask_classes = self._names()
        self.objects = [label for label in objects if self._known(label)]
        self.labels = torch.full((len(self.paths),), -1)  # of whole images: none

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        """Return (image uint8 (C, S, S), -1, index).

        IndexError beyond the images; ValueError for an image that cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        try:
            image = decode(
                self.paths[index],
                channels=self.channels,
                size=self.load_size,
                value_range=self.value_range,
            )
        except UnreadableImage as error:
            raise ValueError(
                f"data.root={self.root}: {error}; repair it, or remove it and its mask"
            ) from error
        return image, -1, index

    def mask(self, index: int) -> Tensor:
        """Return the ids of image ``index``, int16 (H, W), -1 = unlabelled.

        Both are ``mask_size``. ValueError for an id without a name.
        """
        ids = ids_of(self.mask_paths[index], size=self.mask_size)
        ids = torch.where(torch.isin(ids, torch.tensor(self.void, dtype=ids.dtype)), -1, ids)
        if ids.max() >= len(self.mask_classes) or ids.min() < -1:
            raise ValueError(
                f"data.void={self.void}: {self.mask_paths[index]} holds id {int(ids.max())}, but"
                f" the classes are 0..{len(self.mask_classes) - 1}; add it to classes.txt, or to"
                " data.void when it means unlabelled"
            )
        return ids

    def fingerprint(self) -> str:
        """Return the sha256 of names, sizes and content of images and masks, and of what is
        unlabelled."""
        self._content = self._content or content_of([*self.paths, *self.mask_paths])
        return key_of(names=self.former_fingerprint(), content=self._content)

    def former_fingerprint(self) -> str:
        """Return the sha256 of names and sizes alone, as runs of before hold it."""
        return hashlib.sha256(os.fsencode(f"{self._lines}{self.void}")).hexdigest()

    def kept_key(self) -> str:
        """Return a hash of images, masks and names of classes as they are now, and of how they are
        read."""
        return key_of(
            files=files_state([*self.paths, *self.mask_paths]),
            read_as=[self.channels, self.value_range, self.void],
            classes=[self.mask_classes, list(self.objects)],
            decoders=DECODERS,
        )

    def changed_since(self, moment: float) -> list[str]:
        """Return the images that changed after ``moment``, as ``keys.changed_after``."""
        return changed_after(self.paths, moment)

    def _names(self) -> list[str]:
        """Return the class of each id from 0; ids without a name are called after their number."""
        listed = os.path.join(self.root, "classes.txt")
        if os.path.isfile(listed):
            lines = read_text(listed).splitlines()
            rows = [line.split(maxsplit=1) for line in lines if line.strip()]
            if not all(len(row) == 2 and row[0].isdigit() for row in rows):
                raise ValueError(
                    f"data.root={self.root}: each line of classes.txt must be ID NAME (0 sky);"
                    " correct it"
                )
            named = {int(row[0]): row[1].strip() for row in rows}
        else:
            named = {
                label: f"class {label}" for label in found_ids(os.path.join(self.root, "train"))
            }
        used = {label: name for label, name in named.items() if label not in self.void}
        if len(used) < 2:
            raise ValueError(
                f"data.void={self.void}: leaves {len(used)} of {len(named)} classes; at least 2 are"
                " needed, set data.void to the ids that mean unlabelled"
            )
        return [used.get(label, f"class {label}") for label in range(max(used) + 1)]

    def _known(self, label: int) -> bool:
        if not 0 <= label < len(self.mask_classes):
            raise ValueError(
                f"data.objects={label}: the classes are 0..{len(self.mask_classes) - 1}; set"
                " data.objects to some"
            )
        return True


def _held(root: str, held_out: str) -> str:
    """Return the name of the folder that is evaluated on."""
    other = ({"val", "test"} - {held_out}).pop()
    there = os.path.isdir(os.path.join(root, held_out, "images"))
    return held_out if there or not os.path.isdir(os.path.join(root, other, "images")) else other


def _unused(root: str, used: set[str]) -> list[str]:
    """Say how many images lie in folders of splits that are neither trained nor evaluated on."""
    lines = []
    for name in sorted({"train", "val", "test"} - used):
        folder = os.path.join(root, name, "images")
        if os.path.isdir(folder) and (found := find_images(folder).images):
            left = LeftOut(
                len(found),
                "images",
                f"{name}/images/{found[0].path}",
                f"data.held_out={name} evaluates on them",
            )
            lines.append(str(left))
    return lines
