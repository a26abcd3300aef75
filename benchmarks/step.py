"""A whole MAE step side by side with peers at equal architecture and loss: images per CPU second of one thread.

    OMP_NUM_THREADS=1 python benchmarks/step.py [--lines "ViT-T/4 @32"] [--batch N] [--rounds N] [--compile] [--hugging-face]

Contenders run in turns (see timing.py). Peers get images normalised beforehand, ours gets bytes and cuts its tiles.
FLOPs are the reference's for all, by torch's counter: what ours leaves out exactly is speed, not fewer images.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from ours import our_step, peer_step, pretrainer
from peers import LINES, ReferenceMAE, Shape, hugging_face
from timing import Contender, ceiling, interleaved, machine, one_thread, ratios, spread, write

from ssl_patches.budget import count_flops

BATCH = {"ViT-T/4 @32": 64, "ViT-S/16 @224": 8, "ViT-B/16 @224": 8}


def contenders(shape: Shape, batch: int, *, package: bool, compiled: bool) -> list[Contender]:
    torch.manual_seed(0)
    size = (batch, 3, shape.image, shape.image)
    pixels, stored = torch.randn(size), torch.randint(0, 256, size, dtype=torch.uint8)

    def theirs(name: str, *, fused: bool, bf16: bool, quick: bool = False) -> Contender:
        model = ReferenceMAE(shape, fused=fused)
        if quick:
            model.compile(dynamic=False)
        return Contender(name, peer_step(model, pixels, bf16=bf16), batch)

    def ours(name: str, *, bf16: bool, onednn: bool = False, quick: bool = False) -> Contender:
        module = pretrainer(shape, batch=batch)
        if quick:
            module.tasks["masked"].compile(dynamic=False)
        return Contender(name, our_step(module, stored, bf16=bf16, onednn=onednn), batch)

    found = [
        theirs("facebookresearch/mae (re-stated), fp32", fused=True, bf16=False),
        theirs("re-stated, bf16 autocast", fused=True, bf16=True),
        theirs("re-stated, bf16, attention unfused", fused=False, bf16=True),
        ours("ours, fp32", bf16=False),
        ours("ours, fp32, oneDNN", bf16=False, onednn=True),
        ours("ours, bf16", bf16=True),
    ]
    if package:
        found.insert(
            3, Contender("transformers ViTMAE, fp32", peer_step(hugging_face(shape, attention="sdpa"), pixels, bf16=False), batch)
        )
    if compiled:
        found.insert(-3, theirs("re-stated, bf16, unfused, compiled", fused=False, bf16=True, quick=True))
        found.append(ours("ours, bf16, compiled", bf16=True, quick=True))
    return found


def line(name: str, given: argparse.Namespace, best: dict[str, float]) -> dict[str, object]:
    shape, batch = LINES[name], given.batch or BATCH[name]
    flops = count_flops(ReferenceMAE(shape, fused=False), lambda twin, x: twin(x), torch.zeros(1, 3, shape.image, shape.image))
    racing = contenders(shape, batch, package=given.hugging_face, compiled=given.compile)
    taken = interleaved(racing, rounds=given.rounds, warm=1)
    shipped, rows = racing[0].name, []
    print(f"\n{name}, batch {batch}: {flops / 1e9:.2f} GFLOP per image, {given.rounds} rounds")
    for contender in racing:
        speed = 1 / statistics.median(taken[contender.name])
        limit = best["bf16"] if "bf16" in contender.name else max(value for key, value in best.items() if "fp32" in key)
        row = {
            "name": contender.name,
            "images_per_cpu_second": spread([1 / value for value in taken[contender.name]]),
            "times_shipped": ratios(taken, contender.name, shipped),
            "share_of_ceiling": speed * flops / limit,
        }
        rows.append(row)
        times = row["times_shipped"]
        print(
            f"{contender.name:42} {speed:8.2f} images/s  {times['median']:5.2f}x ({times['low']:.2f}-{times['high']:.2f})"
            f"  {100 * row['share_of_ceiling']:3.0f} % of the ceiling",
            flush=True,
        )
    return {"line": name, "batch": batch, "rounds": given.rounds, "flops_per_image": flops, "contenders": rows}


def roofline(content: dict, path: Path) -> None:
    """GFLOP/s reached by each contender against what matrix products reach."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = content["lines"]
    figure, axes = plt.subplots(len(lines), 1, figsize=(8, 0.6 + 2.6 * len(lines)), squeeze=False, layout="constrained")
    for axis, found in zip(axes[:, 0], lines, strict=True):
        rows = found["contenders"][::-1]
        reached = [row["images_per_cpu_second"]["median"] * found["flops_per_image"] / 1e9 for row in rows]
        names = [row["name"] for row in rows]
        axis.barh(names, reached, color=["#1b6ca8" if name.startswith("ours") else "#b0b0b0" for name in names])
        for (key, value), style in zip(content["ceiling"].items(), (":", "-", "--"), strict=False):
            axis.axvline(value / 1e9, color="black", linestyle=style, linewidth=1, label=f"products, {key}: {value / 1e9:.0f}")
        axis.set_title(f"{found['line']}, batch {found['batch']}")
        axis.set_xlabel("GFLOP per CPU second of one thread")
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=120)
    print(f"-> {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", nargs="+", choices=LINES, default=["ViT-T/4 @32"])
    parser.add_argument("--batch", type=int, help="images per step; default: by line")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile too: a minute or two for each")
    parser.add_argument("--hugging-face", action="store_true", help="transformers' ViTMAE too")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/step.json"))
    given = parser.parse_args()
    one_thread()
    before, best = machine(), ceiling()
    print(f"{before['cpu']}, torch {before['torch']}, load {before['load_average']}")
    print("matrix products: " + ", ".join(f"{key} {value / 1e9:.0f}" for key, value in best.items()) + " GFLOP/s")
    results = {"machine": before, "ceiling": best, "lines": [line(name, given, best) for name in given.lines]}
    write(given.out, results)
    roofline(results, given.out.with_suffix(".png"))
