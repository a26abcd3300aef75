"""Read features of every model in one pass over the images of each split that have a label.

Images are streamed and each model sees the same batches. What is kept are features (see
``collect``).

The trap: train and test that are not read alike, such as a pooling that differs, a mode that was
switched in between, or a dropout that is on. Probes then give low but plausible figures; published
tables have been wrong by it. So the first images of both splits are read again after both passes,
by one and the same reader, and must give the features that the probes will get.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ssl_patches.data.module import items_of, ordered_loader
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.features.extract import Read, Reader, collect, flat_pixels, frozen
from ssl_patches.evaluation.features.parts import Family, parts_reader
from ssl_patches.evaluation.labels import Kind, kind_of, labelled
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.types import ImageBatch

REREAD = 32  # images of each split
ALIKE = 0.02  # of the largest feature; bf16 and another size of batch move features by less


@dataclass
class Split:
    """The images of a split that have a label, as they stream by, and then what was read of them.

    ``name``: "train" or "test". ``first``: some images, to be read again. ``features``: (model,
    name of a feature) -> (N, dim) or (N, tokens, dim). ``labels`` (N, ...). ``digests``: of the
    pixels of each image.
    """

    name: str
    kind: Kind
    batches: Iterable[ImageBatch]
    progress: Callable[[int], None] | None
    indices: list[Tensor] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    first: ImageBatch | None = None
    features: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    labels: Tensor = field(default_factory=lambda: torch.zeros(0).long())

    def __iter__(self) -> Iterator[ImageBatch]:
        """Yield the images that have a label, batch by batch. ValueError where none has one."""
        count = 0
        for batch in self.batches:
            has = labelled(batch.labels, self.kind)
            some = batch if has.all() else ImageBatch(*(some[has] for some in batch))
            if len(some.labels):
                self.first = self.first or ImageBatch(*(values[:REREAD] for values in some))
                self.indices.append(some.index)
                self.digests += digests_of(some.images)
                yield some
            count += len(has)
            if self.progress is not None:
                self.progress(len(has))
        if not self.indices:
            raise ValueError(_no_label(count, self.name))

    @property
    def index(self) -> Tensor:
        """Return which images of the source these are, (N,) int64."""
        return torch.cat(self.indices)

    def names(self, model: str) -> list[str]:
        """Return the names of the features that were read of a model."""
        return [name for owner, name in self.features if owner == model]

    def read(self, readers: Mapping[str, Reader], eval_data: EvalData) -> None:
        """Read all features in one pass."""
        found, self.labels = _collected(self, readers, eval_data)
        self.features = {_owner_and_name(name): values for name, values in found.items()}

    def check_alike(self, readers: Mapping[str, Reader], eval_data: EvalData) -> None:
        """Read some images again. ValueError when they give other features than in the pass."""
        again, _ = _collected([self.first] if self.first else [], readers, eval_data)
        for joined, now in again.items():
            model, name = _owner_and_name(joined)
            before = self.features[model, name][: len(now)].float()
            off = (
                (now.float() - before).abs().max().item()
                if now.shape == before.shape
                else torch.inf
            )
            if off > ALIKE * before.abs().max().item():
                raise ValueError(
                    f"model={model}: the first {self.name} images gave other features in the pass"
                    f" over {self.name} than they give now ({name} differs by {off:.2g}), so train"
                    " and test were not read alike; a model must not change while it is read"
                    " (train mode, dropout, another pooling)"
                )


def _collected(
    batches: Iterable[ImageBatch], readers: Mapping[str, Reader], eval_data: EvalData
) -> tuple[dict[str, Tensor], Tensor]:
    return collect(
        batches, readers, mean=eval_data.mean, std=eval_data.std, device=eval_data.device
    )


def _owner_and_name(joined: str) -> tuple[str, str]:
    """``trained.mean.3`` -> trained, mean.3."""
    owner, _, name = joined.partition(".")
    return owner, name


def read_features(
    models: Mapping[str, nn.Module | None],
    families: Mapping[str, Collection[Family]],
    eval_data: EvalData,
    kind: Kind,
    progress: Callable[[int], None] | None = None,
) -> tuple[Split, Split]:
    """Read train and test with the features that each model's ``families`` hold.

    A model that is None is raw pixels. Where no model has any family, no image is read, and labels
    and index are empty. ``progress`` is told the number of images of each batch. ValueError where
    no image has a label, and where the same images give other features when they are read again.
    """
    if not any(families.values()):
        nothing = [
            Split(name, kind, (), None, [torch.zeros(0).long()]) for name in ("train", "test")
        ]
        return nothing[0], nothing[1]
    splits = []
    with ExitStack() as stack:
        readers: dict[str, Reader] = {}
        for name, model in models.items():
            if model is not None:
                model = stack.enter_context(frozen(model, eval_data.device))
            if families[name]:
                readers[name] = _sized(
                    _reader(model, families[name], eval_data), eval_data.image_size
                )
        for name, source, limit in (
            ("train", eval_data.train, eval_data.limit_train),
            ("test", eval_data.test, eval_data.limit_test),
        ):
            loader = ordered_loader(
                source,
                batch_size=eval_data.batch_size,
                num_workers=eval_data.num_workers,
                limit=limit,
            )
            splits.append(Split(name, kind, loader, progress))
            splits[-1].read(readers, eval_data)
        for split in splits:
            split.check_alike(readers, eval_data)
    train, test = splits
    return train, test


def digests_of(images: Tensor) -> list[bytes]:
    """Return a digest of the pixels of each image, (B, C, H, W) uint8."""
    return [
        hashlib.blake2b(image.tobytes(), digest_size=12).digest() for image in images.cpu().numpy()
    ]


def seen_in_training(train: Split, test: Split) -> list[tuple[int, int]]:
    """Return (test, train) numbers in their sources of images with the same pixels.

    A test image counts once, with one of those of train. Whatever the source is: links, copies
    under other names, a split that was drawn twice.
    """
    if not test.digests:
        return []
    known = dict(zip(train.digests, train.index.tolist(), strict=True))
    pairs = zip(test.digests, test.index.tolist(), strict=True)
    return [(at, known[digest]) for digest, at in pairs if digest in known]


def kind_of_sources(eval_data: EvalData, wanted: str) -> Kind:
    """Tell the kind of the labels, before hours go into features.

    ``wanted``: auto, or a kind. ValueError where labels are missing or of two kinds.
    """
    kinds = []
    for source, split in ((eval_data.train, "train"), (eval_data.test, "test")):
        labels = source.labels
        some = (
            labels
            if isinstance(labels, Tensor)
            else torch.as_tensor(items_of(source, [0])[0][1])[None]
        )
        kinds.append(kind_of(some, wanted))
        if isinstance(labels, Tensor):
            with_label(labels, kinds[-1], split)
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"labels: train has {kinds[0]} labels and test {kinds[1]}; give both the same kind"
        )
    return kinds[0]


def with_label(labels: Tensor, kind: Kind, split: str) -> Tensor:
    """Return the mask (N,) of the images that have a label. ValueError when there is none."""
    has = labelled(labels, kind)
    if not has.any():
        raise ValueError(_no_label(len(labels), split))
    return has


def _no_label(images: int, split: str) -> str:
    return (
        f"data.root: none of the {images} {split} images has a label; probes need a folder of"
        " DIR/train/CLASS/file and DIR/val/CLASS/file, or DIR/CLASS/file"
    )


def _reader(model: nn.Module | None, families: Collection[Family], eval_data: EvalData) -> Reader:
    if model is not None:
        return parts_reader(model, families, device=eval_data.device, precision=eval_data.precision)
    pixels = flat_pixels(PROTOCOL["raw_pixels"]["side"])
    return lambda images: {"pooled": pixels(images)}


def _sized(read: Reader, image_size: int) -> Reader:
    """``read``, which refuses images of another size than the exported preprocessing makes."""

    def checked(images: Tensor) -> Read:
        if images.shape[-2:] != (image_size, image_size):
            height, width = images.shape[-2:]
            raise ValueError(
                f"image_size={image_size}: evaluation got images of {height} x {width} px; build"
                f" its sources with load_size={image_size}"
            )
        return read(images)

    return checked
