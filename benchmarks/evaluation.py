"""What an evaluation costs, in seconds by the clock and in CPU seconds of this process.

    python benchmarks/evaluation.py --cifar10 DIR

First kNN alone: 10,000 queries against 50,000 features of 384, all k at once. Then, with a folder
of CIFAR-10 (train/ and test/), kNN and the linear probe of a ViT-Ti of patch 4 in bf16, from files
to rows, with and without the random-init floor. The clock is what a user waits, on idle cores; CPU
seconds do not depend on what else the machine does. The load average before is printed with them.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import timm
import torch

from ssl_patches.data import FolderSource
from ssl_patches.encoders.attention import choose_attention
from ssl_patches.evaluation import EvalData, evaluate_model
from ssl_patches.evaluation.probes.knn import knn_classes
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.sampler.patch_sampler import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class Clock:
    """Seconds by the clock, and CPU seconds of this process."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Clock:
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, earlier: Clock) -> Clock:
        return Clock(self.wall - earlier.wall, self.cpu - earlier.cpu)

    def __str__(self) -> str:
        return f"{self.wall:.1f} s, {self.cpu:.1f} CPU s"


def knn_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    bank, queries = (torch.randn(count, 384, generator=draw) for count in (50_000, 10_000))
    labels = torch.arange(50_000) % 10
    began = Clock.now()
    knn_classes(bank, labels, queries, ks=PROTOCOL["knn"]["ks"], classes=10)
    print(
        f"kNN, 10,000 x 50,000 x 384, k = {PROTOCOL['knn']['ks']}: {Clock.now() - began}",
        flush=True,
    )


def cifar10(root: Path, limit: int | None) -> None:
    train, test = (
        FolderSource(root=str(root), split=split, image_size=32, load_size=32)
        for split in ("train", "val")
    )
    sizes = {
        "img_size": 32,
        "patch_size": 4,
        "class_token": False,
        "global_pool": "avg",
        "fc_norm": False,
        "num_classes": 0,
    }
    models = [
        timm.create_model("vit_tiny_patch16_224", pretrained=False, **sizes).eval()
        for _ in range(2)
    ]
    for model in models:
        choose_attention(model, accelerator="cpu", precision="bf16")
    eval_data = EvalData(
        train=train,
        test=test,
        batch_size=256,
        num_workers=0,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        image_size=32,
        limit_train=limit,
        limit_test=limit and limit // 5,
        precision="bf16",
    )
    count = f"{limit or len(train):,} + {limit // 5 if limit else len(test):,}"
    for what, floor in (("floors known", None), ("with the random-init floor", models[1])):
        marks, began = [], Clock.now()
        evaluate_model(
            models[0],
            eval_data,
            random_init=floor,
            floors=floor is not None,
            tell=lambda said, marks=marks: marks.append((said, Clock.now())),
        )
        ended = Clock.now()
        stages = [("extraction", began), *marks, ("", ended)]
        shown = "; ".join(f"{name} {after - at}" for (name, at), (_, after) in pairwise(stages))
        print(
            f"CIFAR-10, ViT-Ti/4 in bf16, {count} images, {what}: {ended - began} ({shown})",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar10", type=Path, help="folder with train/CLASS and test/CLASS")
    parser.add_argument(
        "--train-images", type=int, help="fewer than all, and a fifth as many test images"
    )
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, load average {os.getloadavg()[0]:.2f}")
    knn_alone()
    if given.cifar10:
        cifar10(given.cifar10, given.train_images)
