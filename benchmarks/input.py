"""From stored images to augmented batches: ours against the loaders that other implementations
ship, one thread, a CPU.

    OMP_NUM_THREADS=1 python benchmarks/input.py [--folder DIR] [--rounds 7] [--output FILE.json]

The augmentation is one: random resized crop (a fifth of the area to all of it), flip,
normalisation; the resize is bilinear and antialiased everywhere. What MAE, lightly, solo-learn and
the others ship is the same loader: a PIL image per item through torchvision's transforms, collated
by torch. It is written out here, and with it the fastest way that torchvision itself has (v2
transforms on uint8 tensors after its own JPEG decoder). Theirs end with normalised images, ours
goes a step further, to a ViT's normalised patches; the lines "whole images" are ours to what theirs
end with, as fine-tuning and evaluation take it. All run in the process itself, as one worker would.

Images: JPEG files of 256 px made here, or the files below ``--folder``; and decoded ones of 32 px,
as CIFAR's loaders hold them in memory.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import rates
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import io
from torchvision import transforms as T
from torchvision.transforms import v2

from ssl_patches.data import FolderSource, ImageSource
from ssl_patches.data.cache import CachedSource
from ssl_patches.data.module import PatchDataModule
from ssl_patches.sampler import PatchSampler
from ssl_patches.sampler.patch_sampler import IMAGENET_MEAN, IMAGENET_STD
from ssl_patches.views import CropFlip
from ssl_patches.views.resample import normalised

SCALE, MANY = (0.2, 1.0), 192
BATCH, PATCH = {32: 256, 224: 64}, {32: 4, 224: 16}
Item = tuple[Tensor, int, int]


def textures(count: int, size: int) -> Tensor:
    """(count, 3, size, size) uint8: three octaves of noise, about as hard to compress as
    photographs."""
    draw, total = torch.Generator().manual_seed(0), torch.zeros(count, 3, size, size)
    for octave, weight in ((16, 0.7), (4, 0.25), (1, 0.03)):
        noise = torch.rand(count, 3, -(-size // octave), -(-size // octave), generator=draw)
        total += weight * torch.nn.functional.interpolate(noise, size=(size, size), mode="bilinear")
    return (total.clamp(0, 1) * 255).to(torch.uint8)


class Decoded(ImageSource):
    """Images in memory, as torchvision's CIFAR10 has them; ``transform``: from PIL, or None for the
    bytes."""

    def __init__(
        self, images: Tensor, transform: Callable[[Image.Image], Tensor] | None = None
    ) -> None:
        self.images, self.transform = images, transform
        self.arrays = images.permute(0, 2, 3, 1).contiguous().numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        if self.transform is None:
            return self.images[index], -1, index
        return self.transform(Image.fromarray(self.arrays[index])), -1, index

    def fingerprint(self) -> str:
        return f"textures {tuple(self.images.shape)}"


class Files(ImageSource):
    def __init__(self, paths: list[str], read: Callable[[str], Tensor]) -> None:
        self.paths, self.read = paths, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        return self.read(self.paths[index]), -1, index


def as_shipped(out: int) -> T.Compose:
    return T.Compose(
        [
            T.RandomResizedCrop(out, scale=SCALE),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )


def opened(path: str) -> Image.Image:
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")


def v2_from_bytes(out: int) -> Callable[[str], Tensor]:
    transform = v2.Compose(
        [v2.RandomResizedCrop(out, scale=SCALE, antialias=True), v2.RandomHorizontalFlip(),
         v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    )  # fmt: skip
    return lambda path: transform(io.decode_image(io.read_file(path), mode=io.ImageReadMode.RGB))


def theirs(dataset: Dataset[Item], out: int) -> Callable[[], int]:
    """Torch's own shuffling, without end."""

    def batches() -> Iterator[Tensor]:
        while True:
            for images, _, _ in DataLoader(
                dataset, batch_size=BATCH[out], shuffle=True, drop_last=True
            ):
                yield images

    stream = batches()
    return lambda: len(next(stream))


def ours(dataset: Dataset[Item], out: int) -> Callable[[], int]:
    """What training does up to the encoder: stream, views, and the tiles of a ViT, which is where
    we normalise."""
    data = PatchDataModule(train=dataset, val=None, batch_size=BATCH[out], num_workers=0, seed=0)
    views, stream = CropFlip(image_size=out, scale=SCALE), iter(data.train_dataloader())
    sampler = PatchSampler(image_size=out, tile=PATCH[out], gap=0)
    return lambda: len(sampler(views(next(stream).images)).tiles)


def ours_whole(dataset: Dataset[Item], out: int) -> Callable[[], int]:
    """Stream, views, normalised whole images."""
    data = PatchDataModule(train=dataset, val=None, batch_size=BATCH[out], num_workers=0, seed=0)
    views, stream = CropFlip(image_size=out, scale=SCALE), iter(data.train_dataloader())
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (IMAGENET_MEAN, IMAGENET_STD))
    return lambda: len(normalised(views(next(stream).images), mean, std))


def cached(source: ImageSource, place: Path) -> CachedSource:
    found = CachedSource(source, identity="benchmark", place=place)
    found.fill_cache(num_workers=0)
    return found


def written(images: Iterable[Tensor], folder: Path) -> None:
    for at, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{at}.jpg", quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="images of your own in place of the JPEG files made here"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=0.3, help="CPU seconds of a line in a round"
    )
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        small = textures(1024, 32)
        lines = {
            "ours, from the cache": ours(cached(Decoded(small), place / "cache"), 32),
            "ours, from the cache, whole images": ours_whole(
                cached(Decoded(small), place / "cache"), 32
            ),
            "as shipped by others": theirs(Decoded(small, as_shipped(32)), 32),
        }
        print("32 px, decoded, to 32 px")
        found = rates.rates(lines, rounds=given.rounds, seconds=given.seconds)
        for name in list(lines)[:2]:
            print(f"against: {name}")
            results[f"32 px, {name}"] = rates.tell(found, ours=name)
        if given.folder is None:
            (place / "jpeg").mkdir()
            written(textures(MANY, 256), place / "jpeg")
        source = FolderSource(
            root=str(given.folder or place / "jpeg"), split="train", image_size=224, load_size=256
        )
        shipped = as_shipped(224)
        lines = {
            "ours, from the cache": ours(cached(source, place / "cache"), 224),
            "ours, decoding": ours(source, 224),
            "ours, from the cache, whole images": ours_whole(cached(source, place / "cache"), 224),
            "ours, decoding, whole images": ours_whole(source, 224),
            "as shipped by others": theirs(
                Files(source.paths, lambda path: shipped(opened(path))), 224
            ),
            "torchvision v2, uint8, its own decoder": theirs(
                Files(source.paths, v2_from_bytes(224)), 224
            ),
        }
        found = rates.rates(lines, rounds=given.rounds, seconds=given.seconds)
        for name in list(lines)[:4]:
            print(f"files of {given.folder or '256 px'}, loaded at 256 px, to 224 px: {name}")
            results[f"256 px, {name}"] = rates.tell(found, ours=name)
    rates.write(given.output, results)


if __name__ == "__main__":
    main()
