"""Tiles from decoded images: ours against the jigsaw and relative-location pipelines of others, one
thread, a CPU.

    OMP_NUM_THREADS=1 python benchmarks/sampler.py [--rounds 9] [--output FILE.json]

All begin with decoded images in memory and end with a batch of normalised float tiles. Ours cut
batches (32 images of 255 px, 128 of 32 px) from uint8 tensors and standardise each tile by itself,
on top of grey with probability 0.66. The others, as shipped, are re-stated here in our words,
after:

* VISSL: configs/config/pretrain/jigsaw/jigsaw_8gpu_resnet.yaml with
  ssl_transforms/img_patches_tensor.py and shuffle_img_patches.py (facebookresearch/vissl): PIL
  grey, ToTensor, Normalize of the whole image, nine slices, stack;
* lightly: the package's own ``lightly.transforms.jigsaw.Jigsaw`` where it is installed, else
  re-stated after lightly 1.6: nine numpy slices, each a PIL image through ToTensor, its default
  transform: no grey and no normalisation;
* mmselfsup: RandomPatchWithLabels of mmselfsup/datasets/transforms/processing.py and
  RelativeLocDataPreprocessor, with numpy slices for mmcv.imcrop: nine crops, packed to tensors,
  normalised in the batch, the centre beside each of eight.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rates
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as T

from ssl_patches.sampler import ColourTreatment, PatchSampler
from ssl_patches.sampler.patch_sampler import IMAGENET_MEAN, IMAGENET_STD

BATCH, GREY = {255: 32, 32: 128}, 0.66
NORMALISE = T.Normalize(IMAGENET_MEAN, IMAGENET_STD)


def pictures(size: int) -> Tensor:
    """Smooth noise: (B, 3, size, size) uint8."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(BATCH[size], 3, 8, 8, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8)


def ours(images: Tensor, tile: int, *, standardise: bool) -> Callable[[], int]:
    sampler = PatchSampler(
        image_size=images.shape[-1],
        rows=3,
        cols=3,
        tile=tile,
        gap=0,
        standardise=standardise,
        colour=ColourTreatment(grey=GREY),
    )

    def run() -> int:
        return len(sampler(images).tiles)

    return run


def vissl(images: list[Image.Image], tile: int) -> Callable[[], int]:
    prepare = T.Compose([T.RandomGrayscale(GREY), T.ToTensor(), NORMALISE])
    cell = images[0].width // 3

    def one(image: Image.Image) -> Tensor:
        whole, patches = prepare(image), []
        jitter = torch.randint(0, cell - tile, (2, 3, 3))
        for i in range(3):
            for j in range(3):
                inside = whole[:, j * cell : (j + 1) * cell, i * cell : (i + 1) * cell]
                y, x = int(jitter[1, i, j]), int(jitter[0, i, j])
                patches.append(inside[:, y : y + tile, x : x + tile].clone())
        order = np.random.permutation(9)
        return torch.stack([patches[at] for at in order])

    return lambda: len(torch.stack([one(image) for image in images]))


def lightly(images: list[Image.Image], tile: int) -> Callable[[], int]:
    try:
        from lightly.transforms.jigsaw import Jigsaw
    except ImportError:
        Jigsaw = _Jigsaw
    one = Jigsaw(n_grid=3, img_size=images[0].width, crop_size=tile)
    return lambda: len(torch.stack([one(image) for image in images]))


class _Jigsaw:
    def __init__(self, *, n_grid: int, img_size: int, crop_size: int) -> None:
        self.cell, self.tile, self.cells, self.transform = (
            img_size // n_grid,
            crop_size,
            n_grid**2,
            T.ToTensor(),
        )
        self.at = [divmod(k, n_grid) for k in range(self.cells)]

    def __call__(self, image: Image.Image) -> Tensor:
        pixels = np.asarray(image, np.uint8)
        shift = np.random.randint(0, self.cell - self.tile + 1, (2, self.cells))
        tiles = []
        for k, (row, col) in enumerate(self.at):
            y, x = row * self.cell + shift[0, k], col * self.cell + shift[1, k]
            tiles.append(Image.fromarray(pixels[y : y + self.tile, x : x + self.tile]))
        return torch.stack([self.transform(tile) for tile in tiles])[
            np.random.permutation(self.cells).tolist()
        ]


def mmselfsup(images: list[Image.Image], tile: int) -> Callable[[], int]:
    """Eight pairs of centre and neighbour, (8 B, 6, tile, tile)."""
    arrays, cell = [np.asarray(image) for image in images], images[0].width // 3
    mean, std = (
        torch.tensor(part).view(1, 3, 1, 1) * 255 for part in (IMAGENET_MEAN, IMAGENET_STD)
    )
    grey = np.array([0.299, 0.587, 0.114])

    def one(image: np.ndarray) -> list[Tensor]:
        if np.random.rand() < GREY:
            image = np.dot(image, grey).round().astype(np.uint8)[..., None].repeat(3, axis=2)
        crops = []
        for i in range(3):
            for j in range(3):
                y, x = np.random.randint(0, cell - tile + 1, 2)
                inside = image[i * cell : (i + 1) * cell, j * cell : (j + 1) * cell]
                crops.append(inside[y : y + tile, x : x + tile].copy())
        views = [crops[4], *crops[:4], *crops[5:]]
        return [torch.from_numpy(np.ascontiguousarray(view.transpose(2, 0, 1))) for view in views]

    def run() -> int:
        views = [torch.stack(view).float() for view in zip(*map(one, arrays), strict=True)]
        centre, *others = [(view - mean) / std for view in views]
        pairs = torch.stack([torch.cat([centre, other], 1) for other in others], 1)
        return len(pairs.flatten(0, 1)) // 8

    return run


def relative(images: Tensor, tile: int) -> Callable[[], int]:
    """Ours at the same work: the same pairs as tensors, though our task pairs features and needs
    none."""
    sampler = PatchSampler(
        image_size=images.shape[-1],
        rows=3,
        cols=3,
        tile=tile,
        gap=0,
        colour=ColourTreatment(grey=GREY),
    )
    others = torch.tensor([0, 1, 2, 3, 5, 6, 7, 8])

    def run() -> int:
        tiles = sampler(images).tiles
        pairs = torch.cat(
            [tiles[:, 4:5].expand(-1, 8, -1, -1, -1), tiles.index_select(1, others)], 2
        )
        return len(pairs.flatten(0, 1)) // 8

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--seconds", type=float, default=0.3, help="CPU seconds of a line in a round"
    )
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    results = {}
    for size, tile in ((255, 64), (32, 8)):
        images = pictures(size)
        pils = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        jigsaw = {
            "ours, each tile standardised": ours(images, tile, standardise=True),
            "ours, ImageNet's mean and deviation": ours(images, tile, standardise=False),
            "VISSL (re-stated)": vissl(pils, tile),
            "lightly": lightly(pils, tile),
        }
        pairs = {
            "ours, pairs": relative(images, tile),
            "mmselfsup (re-stated)": mmselfsup(pils, tile),
        }
        print(f"jigsaw, 3 x 3 tiles of {tile} px from {size} px")
        found = rates.rates(jigsaw | pairs, rounds=given.rounds, seconds=given.seconds)
        results[f"jigsaw {size} px"] = rates.tell(
            {k: v for k, v in found.items() if k in jigsaw}, ours=next(iter(jigsaw))
        )
        print(f"relative location, 8 pairs of {tile} px from {size} px")
        results[f"relative {size} px"] = rates.tell(
            {k: v for k, v in found.items() if k in pairs}, ours=next(iter(pairs))
        )
    rates.write(given.output, results)


if __name__ == "__main__":
    main()
