"""A plain torch script, as one writes it: ``whole_run_plain.py FOLDER IMAGES OUT PRECISION``.

The MAE of ``peers.py`` on torchvision's ImageFolder, in one process, with AdamW, a warm-up and half
a cosine; at the end the weights are saved. Nothing is watched, proven or measured. With ``trainer``
as a fifth word the same images go to transformers' Trainer and its ViTMAE instead.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from peers import ReferenceMAE, Shape
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

SHAPE = Shape(96, 8, 192, 6, 3, 192, 4, 3, "vit_tiny_patch16_224")
BATCH, WARMUP, LR = 64, 0.05, 1.5e-4 * 64 / 256


def images(folder: Path) -> ImageFolder:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = [
        transforms.RandomResizedCrop(SHAPE.image, scale=(0.2, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    return ImageFolder(str(folder / "train"), transforms.Compose(steps))


def rate(progress: float) -> float:
    """The share of the peak learning rate at a share of the budget."""
    if progress < WARMUP:
        return progress / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def plain(folder: Path, steps: int, out: Path, *, bf16: bool) -> None:
    torch.manual_seed(0)
    loader = DataLoader(images(folder), batch_size=BATCH, shuffle=True, drop_last=True)
    model = ReferenceMAE(SHAPE, fused=True)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step / steps))
    done = 0
    while done < steps:
        for batch, _ in loader:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = model(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            if done % 20 == 0:
                print(f"step {done}, loss {loss.item():.3f}", flush=True)
            if done == steps:
                break
    torch.save(model.state_dict(), out / "model.pt")


def with_trainer(folder: Path, steps: int, out: Path, *, bf16: bool) -> None:
    from peers import hugging_face
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=LR,
        adam_beta2=0.95,
        weight_decay=0.05,
        lr_scheduler_type="cosine",
        warmup_steps=round(WARMUP * steps),
        bf16=bf16,
        use_cpu=True,
        report_to="none",
        logging_steps=20,
        remove_unused_columns=False,
    )

    def together(items):
        return {"pixel_values": torch.stack([image for image, _ in items])}

    Trainer(
        model=hugging_face(SHAPE, attention="sdpa"),
        args=arguments,
        train_dataset=images(folder),
        data_collator=together,
    ).train()


if __name__ == "__main__":
    where, count, left, precision, *kind = sys.argv[1:]
    run = with_trainer if kind else plain
    run(Path(where), int(count) // BATCH, Path(left), bf16=precision == "bf16")
