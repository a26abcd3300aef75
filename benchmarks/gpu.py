"""An MAE step on a GPU beside facebookresearch/mae, jigsaw and relative position on ResNet-50, all
in bf16. No network.

    python benchmarks/gpu.py [--lines ...] [--batch N] [--rounds N] [--out FILE]
    python benchmarks/gpu.py --tiny        every path once on the CPU at toy size, without times

The reference as shipped is its re-statement (peers.py) under autocast with products and softmax as
timm 0.3.2 has them; its strongest setting has fused attention and torch.compile. Ours: bare, and
compiled. The CNN lines are ours alone, in channels_last, which our encoders always are. Wall
seconds with the device waited for; needs torch 2.11 or newer.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from ours import our_step, peer_step, pretrainer
from peers import LINES, ReferenceMAE, Shape
from timing import Contender, ceiling, interleaved, machine, ratios, write
from torch import Tensor, nn

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.jigsaw import Jigsaw
from ssl_patches.tasks.relative import Relative
from ssl_patches.training.budget import count_flops
from ssl_patches.training.optim import SGD
from ssl_patches.training.pretrainer import Part, Pretrainer

TINY = {"toy": Shape(32, 8, 48, 2, 3, 64, 2, 2, "vit_tiny_patch16_224")}
TASKS = {"jigsaw": Jigsaw, "relative": Relative}


def mae(shape: Shape, batch: int, device: str, *, compiled: bool) -> list[Contender]:
    size = (batch, 3, shape.image, shape.image)
    pixels, stored = (
        torch.randn(size, device=device),
        torch.randint(0, 256, size, dtype=torch.uint8, device=device),
    )

    def reference(*, fused: bool, quick: bool) -> Callable[[], None]:
        model = ReferenceMAE(shape, fused=fused).to(device)
        if quick:
            model.compile(dynamic=False)
        return peer_step(model, pixels, bf16=True)

    def ours(*, quick: bool) -> Callable[[], None]:
        module = pretrainer(shape, batch=batch).to(device)
        if quick:
            module.tasks["masked"].compile(dynamic=False)
        return our_step(module, stored, bf16=True)

    found = [
        Contender("reference as shipped (AMP)", reference(fused=False, quick=False), batch),
        Contender("reference, fused attention", reference(fused=True, quick=False), batch),
        Contender("ours", ours(quick=False), batch),
    ]
    if compiled:
        found.append(
            Contender("reference, fused and compiled", reference(fused=True, quick=True), batch)
        )
        found.append(Contender("ours, compiled", ours(quick=True), batch))
    return found


def tiles(
    name: str, architecture: str, size: int, batch: int, device: str
) -> tuple[Contender, float]:
    """A step of a where-task on 3 x 3 tiles, and its FLOPs per image."""
    encoder = create(name=architecture, image_size=size)
    sampler = PatchSampler(
        image_size=size, rows=3, cols=3, unit=encoder.unit, multiple=encoder.multiple
    )
    task = TASKS[name](dim=encoder.dim, grid=sampler.grid)
    part = Part(name, sampler, task)
    module = Pretrainer(
        encoder=encoder, parts=[part], views=nn.Identity(), recipe=SGD(), batch_size=batch
    )
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    flops = count_flops(module, lambda twin, given: twin.losses(given)[0], images[:2])
    return (
        Contender(
            f"ours, {name}", our_step(module.to(device), images.to(device), bf16=True), batch
        ),
        flops,
    )


def told(
    name: str,
    contenders: list[Contender],
    against: str,
    given: argparse.Namespace,
    device: str,
    flops: float = 0.0,
) -> dict:
    if device == "cpu":
        for contender in contenders:
            contender.run()
            print(f"{name}, {contender.name}: runs")
        return {"line": name}
    best = ceiling(device)["bf16"]
    taken = interleaved(contenders, rounds=given.rounds, warm=5, device=device)
    rows = {}
    for contender in contenders:
        speed = 1 / statistics.median(taken[contender.name])
        times = ratios(taken, contender.name, against)
        rows[contender.name] = {
            "images_per_second": speed,
            "times": times,
            "share_of_products": speed * flops / best,
        }
        share = f"  {100 * speed * flops / best:3.0f} % of the rate of products" if flops else ""
        print(
            f"{name:18} {contender.name:32} {speed:9.1f} images/s  {times['median']:5.2f}x{share}",
            flush=True,
        )
    strongest = [key for key in rows if key.startswith("reference")]
    if strongest:
        peer, mine = (
            max(strongest, key=lambda key: rows[key]["images_per_second"]),
            [key for key in rows if key.startswith("ours")],
        )
        quick = max(mine, key=lambda key: rows[key]["images_per_second"])
        print(
            f"{name:18} against its strongest setting ({peer}):"
            f" {ratios(taken, quick, peer)['median']:.2f}x"
        )
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return {"line": name, "contenders": rows, "peak_gib_of_all_together": peak}


def flops_of(shape: Shape) -> float:
    image: Tensor = torch.zeros(1, 3, shape.image, shape.image)
    return count_flops(ReferenceMAE(shape, fused=False), lambda twin, x: twin(x), image)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--lines", nargs="+", default=["ViT-S/16 @224", "ViT-B/16 @224"], choices=LINES
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/gpu.json"))
    given = parser.parse_args()
    if not given.tiny and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --tiny tries the script on the CPU")
    device, shapes = (
        ("cpu", TINY) if given.tiny else ("cuda", {name: LINES[name] for name in given.lines})
    )
    batch = 4 if given.tiny else given.batch
    lines = [
        told(
            name,
            mae(shape, batch, device, compiled=not given.tiny),
            "reference as shipped (AMP)",
            given,
            device,
            flops_of(shape),
        )
        for name, shape in shapes.items()
    ]
    architecture, size = ("resnet18", 96) if given.tiny else ("resnet50", 255)
    for name in TASKS:
        racing, flops = tiles(name, architecture, size, batch, device)
        lines.append(told(f"{name}, {architecture}", [racing], racing.name, given, device, flops))
    if not given.tiny:
        write(given.out, {"machine": machine(device), "lines": lines})
