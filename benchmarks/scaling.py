"""How a step's cost grows: images per CPU second against batch, image size, number of tiles and
share hidden; peak memory.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py [--rounds N] [--minutes N] [--real] [--ddp]

A ViT of width 192 and depth 4 (--real: ViT-S/16 at 224 px for the encoder's time), fp32. The
encoder alone, forward and backward, is timed at every share of visible tokens in turns: at 75 %
hidden its FLOPs must be at most 27 % of all-visible (tests/test_step.py counts them) and its time
at most 35 %. --ddp: one gloo process against two, by wall clock, which means something on idle
cores only, so it is refused where the load average is above 0.2.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

import load
import torch
from ours import our_step, pretrainer
from peers import LINES, Shape
from timing import Contender, bf16_here, interleaved, machine, one_thread, ratios, write
from torch import nn

from ssl_patches.encoders.token import TokenEncoder
from ssl_patches.sampler import PatchSampler

SMALL = Shape(64, 8, 192, 4, 3, 192, 2, 3, "vit_tiny_patch16_224")
IDLE = 0.2


def changed(**knobs: object) -> Shape:
    return Shape(**{**{key: getattr(SMALL, key) for key in Shape.__dataclass_fields__}, **knobs})


def curve(key: str, rounds: int, *, limit: float) -> dict[str, float]:
    """Images per CPU second of a whole step at each value of ``key``."""
    values = {
        "batch": {str(n): (SMALL, n) for n in (4, 16, 64)},
        "image size": {str(side): (changed(image=side), 16) for side in (32, 64, 96)},
        "tiles": {str((64 // patch) ** 2): (changed(patch=patch), 16) for patch in (16, 8, 4)},
        "share hidden": {
            str(share): (changed(mask_ratio=share), 16) for share in (0.25, 0.5, 0.75, 0.9)
        },
    }[key]
    contenders = []
    for name, (shape, batch) in values.items():
        images = torch.randint(0, 256, (batch, 3, shape.image, shape.image), dtype=torch.uint8)
        contenders.append(
            Contender(name, our_step(pretrainer(shape, batch=batch), images, bf16=False), batch)
        )
    taken = interleaved(contenders, rounds=rounds, warm=1, limit=limit)
    speeds = {name: 1 / statistics.median(found) for name, found in taken.items()}
    print(
        f"{key:14} " + "  ".join(f"{name}: {speed:.1f}" for name, speed in speeds.items()),
        flush=True,
    )
    return speeds


def encoder_against_visible(
    shape: Shape, batch: int, rounds: int, *, limit: float
) -> dict[str, dict[str, float]]:
    """Time of the encoder, forward and backward, as a share of all-visible."""
    sizes = {"embed_dim": shape.width, "depth": shape.depth, "num_heads": shape.heads}
    encoder = TokenEncoder(
        name=shape.timm_name, image_size=shape.image, patch_size=shape.patch, options=sizes
    )
    sampler = PatchSampler(image_size=shape.image, unit=shape.patch, multiple=shape.patch)
    patches = sampler(
        torch.randint(0, 256, (batch, 3, shape.image, shape.image), dtype=torch.uint8)
    )
    cells = patches.tiles.shape[1]

    def at(share: float) -> Contender:
        kept = torch.rand(batch, cells).argsort(1)[:, : round(cells * share)]

        def run() -> None:
            encoder(patches.select(kept)).tiles.square().mean().backward()

        return Contender(f"{share:g}", run, batch)

    contenders = [at(share) for share in (0.1, 0.25, 0.5, 0.75, 1.0)]
    taken = interleaved(contenders, rounds=rounds, warm=1, limit=limit)
    shares = {name: ratios(taken, "1", name) for name in taken}
    print(
        "encoder, time as a share of all-visible  "
        + "  ".join(f"{key} visible: {v['median']:.3f}" for key, v in shares.items())
    )
    return shares


def _peak(name: str, batch: int, answer: multiprocessing.Queue) -> None:
    one_thread()
    before = _resident("VmRSS")
    shape = LINES[name]
    images = torch.randint(0, 256, (batch, 3, shape.image, shape.image), dtype=torch.uint8)
    our_step(pretrainer(shape, batch=batch), images, bf16=bf16_here())()
    answer.put((before, _resident("VmHWM")))


def _resident(key: str) -> float:
    """MiB, by the kernel; the largest, VmHWM, is this program's own, while getrusage's begins at
    its parent's."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key)
    )
    return int(line.split()[1]) / 2**10


def peak_memory(name: str, batch: int) -> dict[str, float]:
    """MiB of a process of its own before and after one step, in bf16 where the CPU has it."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    child = context.Process(target=_peak, args=(name, batch, answer))
    child.start()
    before, after = answer.get()
    child.join()
    print(
        f"peak memory, {name}, batch {batch}, {'bf16' if bf16_here() else 'fp32'}:"
        f" {after:.0f} MiB, of which {before:.0f} before the model",
        flush=True,
    )
    return {"batch": batch, "mib": after, "mib_before": before}


def _trains(rank: int, world: int, meet: str, answer: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=world
    )
    shape, batch = LINES["ViT-T/4 @32"], 64
    module = pretrainer(shape, batch=batch * world)
    model = nn.parallel.DistributedDataParallel(
        _Losses(module), find_unused_parameters=True
    )  # as runs of ours
    optimizer, images = (
        module.configure_optimizers(),
        torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8),
    )
    for step in range(13):
        if step == 3:
            torch.distributed.barrier()
            began = time.perf_counter()
        model(images).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    torch.distributed.barrier()
    if rank == 0:
        answer.put(10 * batch * world / (time.perf_counter() - began))
    torch.distributed.destroy_process_group()


class _Losses(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.module.losses(images)[0]


def two_processes() -> dict[str, object]:
    if load.AT_START > IDLE:
        raise SystemExit(
            f"--ddp: the load average is {load.AT_START:.2f}, above {IDLE}: a second process would"
            " have no core of its own"
        )
    context, speeds = multiprocessing.get_context("spawn"), {}
    for world in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            answer = context.Queue()
            children = [
                context.Process(target=_trains, args=(rank, world, f"{folder}/meet", answer))
                for rank in range(world)
            ]
            for child in children:
                child.start()
            speeds[world] = answer.get(timeout=300)
            for child in children:
                child.join()
    print(
        f"two processes: {speeds[2] / speeds[1]:.2f}x one (load average before:"
        f" {load.AT_START:.2f})"
    )
    return {
        "images_per_second": speeds,
        "times": speeds[2] / speeds[1],
        "load_average_before": load.AT_START,
    }


def figure(
    curves: dict[str, dict[str, float]], shares: dict[str, dict[str, float]], path: Path
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(
        1, len(curves) + 1, figsize=(3.2 * (len(curves) + 1), 3), layout="constrained"
    )
    for axis, (key, speeds) in zip(axes, curves.items(), strict=False):
        axis.plot(list(speeds), list(speeds.values()), "o-", color="#1b6ca8")
        axis.set(xlabel=key, ylabel="images per CPU second", ylim=(0, None))
    x = [float(key) for key in shares]
    axes[-1].plot(
        x, [found["median"] for found in shares.values()], "o-", color="#1b6ca8", label="time"
    )
    axes[-1].plot([0, 1], [0, 1], ":", color="black", label="as the tokens")
    axes[-1].axhline(0.35, color="#c44e52", linewidth=1, linestyle="--", label="goal at 25 %")
    axes[-1].set(
        xlabel="share visible", ylabel="encoder, of all-visible", xlim=(0, 1), ylim=(0, 1.05)
    )
    axes[-1].legend(fontsize=7)
    drawn.savefig(path, dpi=120)
    print(f"-> {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="no round begins later, by the clock"
    )
    parser.add_argument(
        "--real",
        action="store_true",
        help="the encoder's time on ViT-S/16 at 224 px; memory of that line too",
    )
    parser.add_argument(
        "--ddp", action="store_true", help="two processes against one, on idle cores"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/scaling.json"))
    given = parser.parse_args()
    if given.ddp:
        write(given.out.with_name("ddp.json"), {"machine": machine(), "ddp": two_processes()})
        raise SystemExit
    one_thread()
    keys = ("batch", "image size", "tiles", "share hidden")
    limit = 60 * given.minutes / (len(keys) + 1)
    curves = {key: curve(key, given.rounds, limit=limit) for key in keys}
    shape, batch = (LINES["ViT-S/16 @224"], 2) if given.real else (changed(image=128), 4)
    shares = encoder_against_visible(shape, batch, given.rounds, limit=limit)
    lines = {"ViT-T/4 @32": 64, **({"ViT-S/16 @224": 8} if given.real else {})}
    memory = {name: peak_memory(name, size) for name, size in lines.items()}
    found = {
        "machine": machine(),
        "curves": curves,
        "encoder_time_of_all_visible": shares,
        "memory": memory,
    }
    write(given.out, found)
    figure(curves, shares, given.out.with_suffix(".png"))
