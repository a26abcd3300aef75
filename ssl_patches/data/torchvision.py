"""Read data sets of torchvision by name: ``data=torchvision data.name=CIFAR10 data.root=DIR``.

Listed are those that show one image and one class, and how each is told its split; those without
one are divided 80/20 by the number of an image. Nothing is downloaded unless
``data.download=true``.
"""

from __future__ import annotations

import inspect
import os
from typing import Any, Literal

from ssl_patches.config.keys import files_state, key_of
from ssl_patches.config.messages import nearest
from ssl_patches.data.items import ItemSource

# split by train=True or False
BY_FLAG = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS")
BY_SPLIT = {  # name -> the split to train on, the split to evaluate on
    "CLEVRClassification": ("train", "val"),
    "Country211": ("train", "valid"),
    "DTD": ("train", "val"),
    "FER2013": ("train", "test"),
    "FGVCAircraft": ("trainval", "test"),
    "Flowers102": ("train", "val"),
    "Food101": ("train", "test"),
    "GTSRB": ("train", "test"),
    "ImageNet": ("train", "val"),
    "Imagenette": ("train", "val"),
    "OxfordIIITPet": ("trainval", "test"),
    "PCAM": ("train", "val"),
    "Places365": ("train-standard", "val"),
    "RenderedSST2": ("train", "val"),
    "STL10": ("train", "test"),
    "StanfordCars": ("train", "test"),
    "SVHN": ("train", "test"),
}
UNDIVIDED = ("Caltech101", "Caltech256", "EuroSAT", "SEMEION", "SUN397")
NAMES = sorted([*BY_FLAG, *BY_SPLIT, *UNDIVIDED])


class TorchvisionSource(ItemSource):
    """The images of one split of a data set of torchvision; ValueError where it is not there.

    ``name``: one of ``NAMES``. ``root``: where its files are. ``download``: fetch them when they
    are not. Why: nothing is fetched unasked. ``train_split``: another split to train on, for data
    sets that have one (``unlabeled`` of STL10); None: the usual one. ``load_size``: side in pixels
    of what an item holds; None takes the median shorter side of a few images, kept within
    ``image_size`` and twice that.
    """

    def __init__(
        self,
        *,
        name: str,
        root: str,
        split: Literal["train", "val"],
        image_size: int,
        channels: int = 3,
        load_size: int | None = None,
        download: bool = False,
        train_split: str | None = None,
    ) -> None:
        if name not in NAMES:
            raise ValueError(
                f"data.name={name}: must be a data set of torchvision with one class per image;"
                f" {nearest(name, NAMES)}"
            )
        options: dict[str, Any] = {}
        if name in BY_FLAG:
            options["train"] = split == "train"
        elif name in BY_SPLIT:
            options["split"] = BY_SPLIT[name][split == "val"]
        if train_split is not None:
            if name not in BY_SPLIT:
                raise ValueError(
                    f"data.train_split={train_split}: {name} has no splits to choose from; leave"
                    " it out"
                )
            options["split"] = train_split if split == "train" else options["split"]
        dataset = _open(name, root, options, download=download)
        super().__init__(
            dataset,
            where=f"data.name={name}",
            split=split,
            image_size=image_size,
            channels=channels,
            load_size=load_size,
            divide=name in UNDIVIDED,
            apart=False,  # they open a file for each item, or hold all in memory
        )
        self.root = root

    def kept_key(self) -> str:
        """Return a hash of the files below ``root`` as they are now, and of how they are read."""
        root = os.path.expanduser(self.root or "")
        found = [
            os.path.join(folder, file)
            for folder, _, files in sorted(os.walk(root))
            for file in sorted(files)
        ]
        return key_of(
            files=files_state(found),
            read_as=[self.where, self.channels, self.split_rule, self._names],
        )


def _open(name: str, root: str, options: dict[str, Any], *, download: bool) -> Any:
    import torchvision.datasets

    found = getattr(torchvision.datasets, name)
    if download:
        if "download" not in inspect.signature(found).parameters:
            raise ValueError(
                f"data.download=true: torchvision cannot fetch {name}; put its files into"
                f" data.root={root} yourself"
            )
        options = {**options, "download": True}
    try:
        return found(os.path.expanduser(root), **options)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"data.name={name}: torchvision reads it with {error.name}; install it: pip install"
            f" {error.name}"
        ) from None
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        remedy = (
            "set data.root to a folder that may be written, or fetch it elsewhere"
            if download
            else ("set data.root to the folder that holds it, or data.download=true to fetch it")
        )
        raise ValueError(
            f"data.name={name}: not found in data.root={root} ({reason}); {remedy}"
        ) from error
