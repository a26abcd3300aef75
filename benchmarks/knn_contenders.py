"""The trainings that time_to_knn.py races, each in a process of its own.

    python benchmarks/knn_contenders.py NAME --data DIR --steps N --marks M --out DIR [--bf16]

Every peer has the settings that its own documentation or benchmark gives, and these changes:
images of 32 px, one process without loader workers, bf16 where the CPU multiplies it, and its
schedule laid over the steps that it gets, because its own hundreds of epochs would take days here.
A peer's process needs torch and the peer only; ours needs ssl_patches only.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from knn_networks import CIFAR10, IMAGENET, cifar_resnet18, narrow_resnet, plain_resnet18


def spent() -> float:
    """CPU seconds of this process and of children that it waited for."""
    return sum(os.times()[:4])


@dataclass
class Asked:
    """One training: ``steps`` of them, ``marks`` encoders left on the way, evenly."""

    data: Path
    steps: int
    marks: int
    out: Path
    bf16: bool
    cpu: dict[int, float] = field(default_factory=dict)

    @property
    def each(self) -> int:
        return max(1, self.steps // self.marks)

    def due(self, step: int) -> bool:
        """Whether a mark is due after this step; the last one falls on the last step."""
        return step not in self.cpu and (
            step == self.steps
            or (step % self.each == 0 and self.steps - step >= self.each and step < self.steps)
        )

    def passed(self, step: int, network: Any) -> None:
        """Leave an encoder where a mark is due."""
        if not self.due(step):
            return
        import torch

        state = {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}
        torch.save(state, self.out / f"backbone-{step}.pt")
        self.cpu[step] = round(spent(), 1)
        print(f"mark at step {step}: {self.cpu[step]} CPU s", flush=True)

    def write(self, extra: float = 0.0) -> None:
        marks = {step: round(cpu + extra, 1) for step, cpu in self.cpu.items()}
        (self.out / "marks.json").write_text(json.dumps(marks))


def ours(asked: Asked) -> None:
    """Train as the command does; a mark's seconds hold an export of its own with its proof."""
    import ssl_patches
    from ssl_patches.cli import main
    from ssl_patches.training.callbacks.meter import Meter

    after = Meter.on_train_batch_end

    def clocked(self, trainer, *given) -> None:
        after(self, trainer, *given)
        if asked.due(trainer.global_step):
            asked.cpu[trainer.global_step] = spent()

    Meter.on_train_batch_end = clocked
    words = ["pretrain", "experiment=small_photographs", "data=cifar10", f"data.root={asked.data}"]
    words += ["budget.flops=null", f"budget.images={asked.steps * CONTENDERS['ours'].batch}"]
    words += [f"run_dir={asked.out / 'run'}", "evaluation=none", "export=none"]
    words += [f"trainer.checkpoint_steps={asked.each}"]
    words += [f"trainer.checkpoints_kept={asked.marks + 2}"]
    if main(words):
        raise SystemExit("ours: failed")
    export = 0.0
    for step in asked.cpu:
        began = spent()
        ssl_patches.export(
            model=asked.out / "run",
            output=asked.out / f"encoder-{step}",
            checkpoint=asked.out / "run" / "checkpoints" / f"step-{step:08d}.ckpt",
        )
        export = max(export, spent() - began)
    asked.write(export)


def lightly(asked: Asked, network: Callable[[], Any], dim: int) -> None:
    """lightly's SimCLR with the settings of its own benchmark on CIFAR-10."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    torch.manual_seed(0)
    views = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0)
    backbone, head, criterion = network(), SimCLRProjectionHead(dim, 512, 128), NTXentLoss()
    optimizer = torch.optim.SGD(
        [*backbone.parameters(), *head.parameters()], lr=0.06, momentum=0.9, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, asked.steps)
    for step, ((first, second), *_) in zip(
        range(1, asked.steps + 1), endless(asked.data, views, 128), strict=False
    ):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=asked.bf16):
            loss = criterion(head(backbone(first)), head(backbone(second)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        asked.passed(step, backbone)
    asked.write()


def endless(data: Path, views: Any, batch: int) -> Iterator[Any]:
    """Batches of the training images, epoch after epoch."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    folder = ImageFolder(str(data / "train"), views)
    loader = DataLoader(folder, batch_size=batch, shuffle=True, drop_last=True)
    while True:
        yield from loader


def lightly_train(asked: Asked, method: str) -> None:
    """lightly-train's command with its defaults: ResNet-18 of torchvision, batches of 128."""
    import lightly_train as package
    from lightly_train._methods.method import Method

    network = plain_resnet18(head=True)
    after = Method.on_train_batch_end

    def marked(self, *given) -> None:
        after(self, *given)
        asked.passed(self.trainer.global_step, network)

    Method.on_train_batch_end = marked
    sizes: dict[str, Any] = {"image_size": (32, 32)}
    if method == "dino":
        sizes["local_view"] = {"view_size": (14, 14)}  # 96 of 224 px
    package.pretrain(
        out=str(asked.out / "run"),
        data=str(asked.data / "train"),
        model=network,
        method=method,
        epochs=100,
        trainer_args={"max_steps": asked.steps},
        transform_args=sizes,
        batch_size=128,
        num_workers=0,
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed" if asked.bf16 else "32-true",
    )
    asked.write()


def stable_pretraining(asked: Asked) -> None:
    """stable-pretraining's SimCLR with the settings of its own example on CIFAR-10."""
    import lightning
    import stable_pretraining as package
    import torch
    from stable_pretraining.data import transforms
    from stable_pretraining.forward import simclr
    from torchvision.datasets import ImageFolder

    lightning.seed_everything(0)

    def view():
        return transforms.Compose(
            transforms.RGB(),
            transforms.RandomResizedCrop((32, 32)),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToImage(**CIFAR10),
        )

    backbone = package.backbone.from_torchvision("resnet18", low_resolution=True)
    backbone.fc = torch.nn.Identity()
    layers: list[torch.nn.Module] = []
    for wide in (512, 2048):
        layers += [torch.nn.Linear(wide, 2048), torch.nn.BatchNorm1d(2048), torch.nn.ReLU()]
    module = package.Module(
        backbone=backbone,
        projector=torch.nn.Sequential(*layers, torch.nn.Linear(2048, 256)),
        forward=simclr,
        simclr_loss=package.losses.NTXEntLoss(temperature=0.5),
        optim={
            "optimizer": {"type": "LARS", "lr": 5, "weight_decay": 1e-6},
            "scheduler": {"type": "LinearWarmupCosineAnnealing"},
            "interval": "step",
        },
    )
    folder = package.data.FromTorchDataset(
        ImageFolder(str(asked.data / "train")),
        names=["image", "label"],
        transform=transforms.MultiViewTransform([view(), view()]),
    )
    loader = torch.utils.data.DataLoader(folder, batch_size=256, shuffle=True, drop_last=True)

    class Marker(lightning.Callback):
        def on_train_batch_end(self, trainer, *_) -> None:
            asked.passed(trainer.global_step, backbone)

    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1000,
        max_steps=asked.steps,
        precision="bf16-mixed" if asked.bf16 else "32-true",
        callbacks=[Marker()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=str(asked.out),
    )
    trainer.fit(module, package.data.DataModule(train=loader))
    asked.write()


@dataclass(frozen=True)
class Contender:
    """How one is trained, and the network that its marks are loaded into (ours are exports)."""

    train: Callable[[Asked], None]
    batch: int
    network: Callable[[], Any] | None
    label: str
    statistics: dict[str, tuple[float, ...]] = field(default_factory=lambda: IMAGENET)


CONTENDERS = {
    "ours": Contender(ours, 256, None, "ours"),
    "lightly": Contender(
        partial(lightly, network=cifar_resnet18, dim=512), 128, cifar_resnet18, "lightly SimCLR"
    ),
    "lightly_train_simclr": Contender(
        partial(lightly_train, method="simclr"), 128, plain_resnet18, "lightly-train SimCLR"
    ),
    "lightly_train_dino": Contender(
        partial(lightly_train, method="dino"), 128, plain_resnet18, "lightly-train DINO"
    ),
    "stable_pretraining": Contender(
        stable_pretraining, 256, cifar_resnet18, "stable-pretraining SimCLR", CIFAR10
    ),
    "lightly_our_network": Contender(
        partial(lightly, network=narrow_resnet, dim=256),
        128,
        narrow_resnet,
        "lightly SimCLR, our network",
    ),
}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--marks", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    CONTENDERS[given.name].train(Asked(given.data, given.steps, given.marks, given.out, given.bf16))


if __name__ == "__main__":
    main()
