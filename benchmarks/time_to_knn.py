"""CPU seconds until an encoder is of use: kNN of CIFAR-10 over the seconds that training took.

    OMP_NUM_THREADS=1 python benchmarks/time_to_knn.py --data DIR [--peers DIR]
        [--ours 60000] [--lightly 5000] [--marks 5] [--goal 45]

``--data``: CIFAR-10 as files, train/CLASS and test/CLASS. Each contender starts from scratch in a
process of its own with one thread, trains on the given number of images with its own schedule, and
leaves ``--marks`` evenly spaced encoders; each is measured afterwards, by the same code: kNN with
k = 20, a bank of 10,000 training images, all test images. The marks are fixed beforehand and none
is chosen by what it reaches: the figure told is the first mark at or above the goal. Seconds are
the process's CPU seconds up to the mark, its start included, and for ours the export of an encoder
with its proof.

* ours: ``experiment=small_photographs``, what the README's table has;
* lightly's SimCLR by its CIFAR-10 benchmark's settings (ResNet-18 with a 3 x 3 stem, SGD of rate
  0.06 at a batch of 128, NT-Xent at 0.5, no blur), where lightly is installed, or lies in
  ``--peers``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from processes import run

HERE = Path(__file__).resolve().parent
STATISTICS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
METRIC = "knn20_top1"


def spent() -> float:
    """CPU seconds of this process and of children that it waited for."""
    return sum(os.times()[:4])


def train_ours(data: Path, images: int, marks: int, out: Path) -> None:
    """Train as the command does; the seconds of each mark, and of an export, go to a file."""
    import ssl_patches
    from ssl_patches.cli import main
    from ssl_patches.training.callbacks.meter import Meter

    batch, seconds = 256, {}
    each = max(1, images // batch // marks)
    after = Meter.on_train_batch_end

    def clocked(self, trainer, *given) -> None:
        after(self, trainer, *given)
        if trainer.global_step % each == 0:
            seconds[trainer.global_step] = spent()

    Meter.on_train_batch_end = clocked
    words = ["pretrain", "experiment=small_photographs", "data=cifar10", f"data.root={data}"]
    words += ["budget.flops=null", f"budget.images={images}", f"run_dir={out / 'run'}"]
    words += ["evaluation=none", "export=none", f"trainer.checkpoint_steps={each}"]
    words += [f"trainer.checkpoints_kept={marks + 2}"]
    if main(words):
        raise SystemExit("ours: failed")
    for place, step in enumerate(seconds):
        began = spent()
        ssl_patches.export(
            model=out / "run",
            output=out / f"encoder-{step}",
            checkpoint=out / "run" / "checkpoints" / f"step-{step:08d}.ckpt",
        )
        if place == 0:
            export = spent() - began
    marked = {str(step): round(cpu + export, 1) for step, cpu in seconds.items()}
    (out / "marks.json").write_text(json.dumps({"batch": batch, "cpu": marked}))


def train_lightly(data: Path, images: int, marks: int, out: Path) -> None:
    """lightly's SimCLR with the settings of its own benchmark on CIFAR-10."""
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    torch.manual_seed(0)
    batch = 128
    steps = images // batch
    each = max(1, steps // marks)
    views = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0)
    loader = DataLoader(
        ImageFolder(str(data / "train"), views), batch_size=batch, shuffle=True, drop_last=True
    )
    backbone, head, criterion = resnet18(), SimCLRProjectionHead(512, 512, 128), NTXentLoss()
    optimizer = torch.optim.SGD(
        [*backbone.parameters(), *head.parameters()], lr=0.06, momentum=0.9, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    seconds: dict[str, float] = {}
    done = 0
    while done < steps:
        for (first, second), *_ in loader:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16()):
                loss = criterion(head(backbone(first)), head(backbone(second)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            print(f"step {done}, loss {loss.item():.3f}, {spent():.0f} CPU s", flush=True)
            if done % each == 0:
                seconds[str(done)] = round(spent(), 1)
                torch.save(backbone.state_dict(), out / f"backbone-{done}.pt")
            if done == steps:
                break
    (out / "marks.json").write_text(json.dumps({"batch": batch, "cpu": seconds}))


def bf16() -> bool:
    from timing import bf16_here

    return bf16_here()


def resnet18():
    """ResNet-18 for 32 px, as papers on CIFAR-10 have it: a 3 x 3 stem, no pooling after it."""
    import torch
    from torchvision.models import resnet18 as of_torchvision

    model = of_torchvision(weights=None)
    model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool, model.fc = torch.nn.Identity(), torch.nn.Identity()
    return model


TRAIN = {"ours": train_ours, "lightly": train_lightly}


def knn(data: Path, contender: str, out: Path, step: str, few: int | None) -> float:
    """kNN of the encoder of a mark, in percent; the same code for all."""
    import torch

    from ssl_patches.data import FolderSource
    from ssl_patches.evaluation import evaluate_encoder

    if contender == "ours":
        import timm

        model = timm.create_model(f"local-dir:{out / f'encoder-{step}'}", pretrained=True)
    else:
        model = resnet18()
        model.load_state_dict(torch.load(out / f"backbone-{step}.pt", weights_only=True))
    train, test = (
        FolderSource(root=str(data), split=split, image_size=32, load_size=32)
        for split in ("train", "val")
    )
    rows = evaluate_encoder(
        encoder=model.eval(),
        random_init=None,
        train_source=train,
        test_source=test,
        batch_size=250,
        num_workers=0,
        image_size=32,
        limit_train=few or 10_000,
        limit_test=few,
        probes=["knn"],
        floors=False,
        precision="bf16" if bf16() else "fp32",
        **STATISTICS,
    )
    return next(row.value for row in rows if row.metric == METRIC)


def race(contender: str, asked: argparse.Namespace, place: Path) -> dict[str, object]:
    """Train one contender, then measure what it left."""
    (out := place / contender).mkdir()
    path = [str(each) for each in (asked.source, HERE, asked.peers) if each]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path)}
    images = vars(asked)[contender]
    words = [sys.executable, str(HERE / "time_to_knn.py"), "--inside", contender]
    words += ["--data", str(asked.data), f"--{contender}", str(images)]
    words += ["--marks", str(asked.marks), "--scratch", str(out)]
    cost = run(words, cwd=out, environment=environment, log=out / "log")
    marks = json.loads((out / "marks.json").read_text())
    curve: list[dict[str, float]] = []
    for step, cpu in marks["cpu"].items():
        found = round(knn(asked.data, contender, out, step, asked.few), 2)
        curve.append({"images": int(step) * marks["batch"], "cpu": cpu, "knn": found})
        seen = f"{curve[-1]['images']:7} images {cpu:7.0f} CPU s"
        print(f"{contender:8} {seen}  kNN {found}", flush=True)
    reached = next((mark["cpu"] for mark in curve if mark["knn"] >= asked.goal), None)
    last = f"not reached in {curve[-1]['cpu']:.0f} CPU s, where it is {curve[-1]['knn']}"
    print(f"{contender}: kNN {asked.goal:g} {f'after {reached} CPU s' if reached else last}")
    return {"curve": curve, "reached": reached, "cost": cost.as_dict()}


def figure(found: dict[str, dict], goal: float, path: Path) -> None:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(6, 3.6), dpi=120, layout="constrained")
    axis = drawn.subplots()
    for name, result in found.items():
        seconds = [mark["cpu"] for mark in result["curve"]]
        axis.plot(seconds, [mark["knn"] for mark in result["curve"]], "o-", label=name)
    axis.axhline(goal, color="0.5", linewidth=1, linestyle=":", label=f"kNN {goal:g}")
    axis.set(xlabel="CPU seconds of one thread", ylabel="kNN top-1 on CIFAR-10, %", xlim=(0, None))
    axis.legend(fontsize=8)
    drawn.savefig(path)
    print(f"-> {path}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--peers", type=lambda text: Path(text).resolve(), help="packages' folder")
    parser.add_argument(
        "--ours", type=int, default=60_000, help="images, repetitions counted; 0: no"
    )
    parser.add_argument("--lightly", type=int, default=5_000)
    parser.add_argument("--marks", type=int, default=5)
    parser.add_argument("--goal", type=float, default=45.0)
    parser.add_argument("--few", type=int, help="images of the bank and of the test, to try it")
    parser.add_argument("--source", type=Path, default=HERE.parent, help="another checkout of ours")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/time_to_knn.json"))
    parser.add_argument("--inside", choices=TRAIN, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        images = vars(asked)[asked.inside]
        TRAIN[asked.inside](asked.data, images, asked.marks, asked.scratch)
        return
    from timing import machine, one_thread, write

    one_thread()
    found: dict[str, dict] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        for contender in TRAIN:
            if not vars(asked)[contender]:
                continue
            if contender == "lightly" and not (asked.peers and (asked.peers / "lightly").is_dir()):
                print("lightly: not in --peers; left out")
                continue
            found[contender] = race(contender, asked, Path(place))
            content = {"machine": machine(), "goal": asked.goal, "contenders": found}
            write(asked.out, content | {"minutes": round((time.monotonic() - began) / 60, 1)})
    figure(found, asked.goal, asked.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
