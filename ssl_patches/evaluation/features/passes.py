"""One pass over the images of each split: features of every model, of the images that have a label.

Images are streamed and each model sees the same batches. What is kept are features (see
``collect``).

The trap: train and test that are not read alike, such as a pooling that differs, a mode that was
switched in between, or a dropout that is on. Probes then give low but plausible figures; published
tables have been wrong by it. So the first images of both splits are read again after both passes,
by one and the same reader, and must give the features that the probes will get.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ssl_patches.data.module import ordered_loader
from ssl_patches.evaluation.features.bench import Bench
from ssl_patches.evaluation.features.extract import Read, Reader, collect, flat_pixels, frozen
from ssl_patches.evaluation.features.parts import Family, parts_reader
from ssl_patches.evaluation.labels import Kind, kind_of, labelled
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.types import ImageBatch

REREAD = 32  # images of each split
ALIKE = 0.02  # of the largest feature; bf16 and another size of batch move features by less


@dataclass
class Split:
    """The images of a split that have a label, as they stream by, and what was found when they
    have."""

    name: str  # "train" or "test"
    kind: Kind
    batches: Iterable[ImageBatch]
    progress: Callable[[int], None] | None
    indices: list[Tensor] = field(default_factory=list)
    first: ImageBatch | None = None  # some images, to be read again
    features: dict[tuple[str, str], Tensor] = field(default_factory=dict)  # of (model, part)
    labels: Tensor | None = None

    def __iter__(self) -> Iterator[ImageBatch]:
        count = 0
        for batch in self.batches:
            has = labelled(batch.labels, self.kind)
            some = batch if has.all() else ImageBatch(*(part[has] for part in batch))
            if len(some.labels):
                self.first = self.first or ImageBatch(*(part[:REREAD] for part in some))
                self.indices.append(some.index)
                yield some
            count += len(has)
            if self.progress is not None:
                self.progress(len(has))
        if not self.indices:
            raise ValueError(_no_label(count, self.name))

    @property
    def index(self) -> Tensor:
        """Which images of the source these are."""
        return torch.cat(self.indices)

    def parts(self, model: str) -> list[str]:
        return [part for owner, part in self.features if owner == model]

    def read(self, readers: Mapping[str, Reader], **options: object) -> None:
        found, self.labels = collect(self, readers, **options)
        self.features = {tuple(name.split(".", 1)): part for name, part in found.items()}

    def check_alike(self, readers: Mapping[str, Reader], **options: object) -> None:
        """ValueError when the same images give other features now than in the pass."""
        again, _ = collect([self.first], readers, **options)
        for name, now in again.items():
            model, part = name.split(".", 1)
            before = self.features[model, part][: len(now)].float()
            off = (
                (now.float() - before).abs().max().item()
                if now.shape == before.shape
                else torch.inf
            )
            if off > ALIKE * before.abs().max().item():
                raise ValueError(
                    f"model={model}: the first {self.name} images gave other features in the pass"
                    f" over {self.name} than they give now ({part} differs by {off:.2g}), so train"
                    " and test were not read alike; a model must not change while it is read"
                    " (train mode, dropout, another pooling)"
                )


def read_features(
    models: Mapping[str, nn.Module | None],
    families: Mapping[str, Collection[Family]],
    bench: Bench,
    kind: Kind,
    progress: Callable[[int], None] | None = None,
) -> tuple[Split, Split]:
    """Train and test with the parts that each model's ``families`` hold. A model that is None is
    raw pixels.

    Where no model has any, no image is read, and labels and index are empty.
    """
    if not any(families.values()):
        nothing = [
            Split(name, kind, (), None, [torch.zeros(0).long()], labels=torch.zeros(0).long())
            for name in ("train", "test")
        ]
        return nothing[0], nothing[1]
    seen = {"mean": bench.mean, "std": bench.std, "device": bench.device}
    splits = []
    with ExitStack() as stack:
        readers: dict[str, Reader] = {}
        for name, model in models.items():
            if model is not None:
                model = stack.enter_context(frozen(model, bench.device))
            if families[name]:
                readers[name] = _sized(_reader(model, families[name], bench), bench.image_size)
        for name, source, limit in (
            ("train", bench.train, bench.limit_train),
            ("test", bench.test, bench.limit_test),
        ):
            loader = ordered_loader(
                source, batch_size=bench.batch_size, num_workers=bench.num_workers, limit=limit
            )
            splits.append(Split(name, kind, loader, progress))
            splits[-1].read(readers, **seen)
        for split in splits:
            split.check_alike(readers, **seen)
    train, test = splits
    return train, test


def kind_of_sources(bench: Bench, wanted: str) -> Kind:
    """The kind of the labels, before hours go into features. ValueError where labels are missing or
    of two kinds."""
    kinds = []
    for source, split in ((bench.train, "train"), (bench.test, "test")):
        labels = source.labels
        some = labels if isinstance(labels, Tensor) else torch.as_tensor(source[0][1])[None]
        kinds.append(kind_of(some, wanted))
        if isinstance(labels, Tensor):
            with_label(labels, kinds[-1], split)
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"labels: train has {kinds[0]} labels and test {kinds[1]}; give both the same kind"
        )
    return kinds[0]


def with_label(labels: Tensor, kind: Kind, split: str) -> Tensor:
    """Mask (N,) of the images that have a label. ValueError when there is none."""
    has = labelled(labels, kind)
    if not has.any():
        raise ValueError(_no_label(len(labels), split))
    return has


def _no_label(images: int, split: str) -> str:
    return (
        f"data.root: none of the {images} {split} images has a label; probes need a folder of"
        " DIR/train/CLASS/file and DIR/val/CLASS/file, or DIR/CLASS/file"
    )


def _reader(model: nn.Module | None, families: Collection[Family], bench: Bench) -> Reader:
    if model is not None:
        return parts_reader(model, families, device=bench.device, precision=bench.precision)
    pixels = flat_pixels(PROTOCOL["raw_pixels"]["side"])
    return lambda images: {"pooled": pixels(images)}


def _sized(read: Reader, image_size: int) -> Reader:
    """``read``, which refuses images of another size than the exported preprocessing makes."""

    def checked(images: Tensor) -> Read:
        if images.shape[-2:] != (image_size, image_size):
            height, width = images.shape[-2:]
            raise ValueError(f"image_size={image_size}: evaluation got images of {height} x {width} px; build its sources "
                             f"with load_size={image_size}")  # fmt: skip
        return read(images)

    return checked
