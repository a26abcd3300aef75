"""A whole MAE step side by side with peers at equal architecture and loss: images per CPU second of
one thread.

    OMP_NUM_THREADS=1 python benchmarks/step.py [--lines "ViT-T/4 @32"] [--batch N] [--rounds N]
        [--compile] [--hugging-face] [--minutes N] [--no-bf16]

Contenders run in turns (see timing.py), peers in a process as torch starts it and ours in one as a
run of ours sets it (see ssl_patches/training/malloc.py); one line is ours without that. Peers get
images normalised beforehand, ours gets bytes and cuts its tiles. FLOPs are the reference's for all,
by torch's counter: what ours leaves out exactly is speed, not fewer images. On a CPU that does not
multiply bf16 itself the lines in bf16 are left out; ``--no-bf16`` leaves them out anywhere.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from elsewhere import Elsewhere
from ours import our_step, peer_step, pretrainer
from peers import LINES, ReferenceMAE, Shape, hugging_face
from timing import (
    Contender,
    bf16_here,
    ceiling,
    interleaved,
    machine,
    one_thread,
    ratios,
    spread,
    write,
)
from torch import Tensor

from ssl_patches.config.malloc import keep_freed_memory
from ssl_patches.training.budget import count_flops

BATCH = {"ViT-T/4 @32": 64, "ViT-S/16 @224": 8, "ViT-B/16 @224": 8}


def peers(name: str, batch: int, package: bool, compiled: bool, half: bool) -> list[Contender]:
    """In a process as they start it; ours, too, without what a run of ours sets for its process."""
    shape, pixels, _ = _batch(name, batch)

    def one(called: str, *, fused: bool, bf16: bool, quick: bool = False) -> Contender:
        model = ReferenceMAE(shape, fused=fused)
        if quick:
            model.compile(dynamic=False)
        return Contender(called, peer_step(model, pixels, bf16=bf16), batch)

    found = [one("facebookresearch/mae (re-stated), fp32", fused=True, bf16=False)]
    if half:
        found += [
            one("re-stated, bf16 autocast", fused=True, bf16=True),
            one("re-stated, bf16, attention unfused", fused=False, bf16=True),
            _ours(name, batch, "ours, bf16, freed memory given back", bf16=True),
        ]
    if package:
        model = hugging_face(shape, attention="sdpa")
        found.insert(
            1, Contender("transformers ViTMAE, fp32", peer_step(model, pixels, bf16=False), batch)
        )
    if compiled and half:
        found.append(one("re-stated, bf16, unfused, compiled", fused=False, bf16=True, quick=True))
    return found


def ours(name: str, batch: int, compiled: bool, half: bool) -> list[Contender]:
    """In a process as a run of ours sets it."""
    keep_freed_memory()
    found = [
        _ours(name, batch, "ours, fp32", bf16=False),
        _ours(name, batch, "ours, fp32, oneDNN", bf16=False, onednn=True),
    ]
    if half:
        found.append(_ours(name, batch, "ours, bf16", bf16=True))
    if compiled and half:
        found.append(_ours(name, batch, "ours, bf16, compiled", bf16=True, quick=True))
    return found


def _ours(
    name: str, batch: int, called: str, *, bf16: bool, onednn: bool = False, quick: bool = False
) -> Contender:
    shape, _, stored = _batch(name, batch)
    module = pretrainer(shape, batch=batch)
    if quick:
        module.tasks["masked"].compile(dynamic=False)
    return Contender(called, our_step(module, stored, bf16=bf16, onednn=onednn), batch)


def _batch(name: str, batch: int) -> tuple[Shape, Tensor, Tensor]:
    """Images as peers get them, and as ours does."""
    torch.manual_seed(0)
    size = (batch, 3, LINES[name].image, LINES[name].image)
    return LINES[name], torch.randn(size), torch.randint(0, 256, size, dtype=torch.uint8)


def line(name: str, given: argparse.Namespace, best: dict[str, float]) -> dict[str, object]:
    shape, batch = LINES[name], given.batch or BATCH[name]
    flops = count_flops(
        ReferenceMAE(shape, fused=False),
        lambda twin, x: twin(x),
        torch.zeros(1, 3, shape.image, shape.image),
    )
    sides = [
        Elsewhere(peers, name, batch, given.hugging_face, given.compile, given.half),
        Elsewhere(ours, name, batch, given.compile, given.half),
    ]
    racing = [contender for side in sides for contender in side.contenders]
    limit = 60 * given.minutes / len(given.lines)
    taken = interleaved(racing, rounds=given.rounds, warm=2, limit=limit)
    for side in sides:
        side.end()
    shipped, rows = racing[0].name, []
    print(f"\n{name}, batch {batch}: {flops / 1e9:.2f} GFLOP per image, {given.rounds} rounds")
    for contender in racing:
        speed = 1 / statistics.median(taken[contender.name])
        limit = (
            best["bf16"]
            if "bf16" in contender.name
            else max(value for key, value in best.items() if "fp32" in key)
        )
        row = {
            "name": contender.name,
            "images_per_cpu_second": spread([1 / value for value in taken[contender.name]]),
            "times_shipped": ratios(taken, contender.name, shipped),
            "share_of_ceiling": speed * flops / limit,
        }
        rows.append(row)
        times = row["times_shipped"]
        print(
            f"{contender.name:42} {speed:8.2f} images/s  {times['median']:5.2f}x"
            f" ({times['low']:.2f}-{times['high']:.2f})  {100 * row['share_of_ceiling']:3.0f} % of"
            " the ceiling",
            flush=True,
        )
    return {
        "line": name,
        "batch": batch,
        "rounds": given.rounds,
        "flops_per_image": flops,
        "contenders": rows,
    }


def roofline(content: dict, path: Path) -> None:
    """GFLOP/s reached by each contender against what matrix products reach."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = content["lines"]
    figure, axes = plt.subplots(
        len(lines), 1, figsize=(8, 0.6 + 2.6 * len(lines)), squeeze=False, layout="constrained"
    )
    for axis, found in zip(axes[:, 0], lines, strict=True):
        rows = found["contenders"][::-1]
        reached = [
            row["images_per_cpu_second"]["median"] * found["flops_per_image"] / 1e9 for row in rows
        ]
        names = [row["name"] for row in rows]
        axis.barh(
            names,
            reached,
            color=["#1b6ca8" if name.startswith("ours") else "#b0b0b0" for name in names],
        )
        for (key, value), style in zip(content["ceiling"].items(), (":", "-", "--"), strict=False):
            axis.axvline(
                value / 1e9,
                color="black",
                linestyle=style,
                linewidth=1,
                label=f"products, {key}: {value / 1e9:.0f}",
            )
        axis.set_title(f"{found['line']}, batch {found['batch']}")
        axis.set_xlabel("GFLOP per CPU second of one thread")
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=120)
    print(f"-> {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", nargs="+", choices=LINES, default=["ViT-T/4 @32"])
    parser.add_argument("--batch", type=int, help="images per step; default: by line")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile too: a minute or two for each"
    )
    parser.add_argument("--hugging-face", action="store_true", help="transformers' ViTMAE too")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/step.json"))
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="no round begins later, by the clock"
    )
    parser.add_argument("--no-bf16", action="store_true", help="as on a CPU without it")
    given = parser.parse_args()
    one_thread()
    given.half = bf16_here(pretend_none=given.no_bf16)
    before, best = machine(), ceiling(bf16=given.half)
    if not given.half:
        print("this CPU has no bf16 arithmetic of its own: lines in bf16 are left out")
    print(f"{before['cpu']}, torch {before['torch']}, load {before['load_average']}")
    print(
        "matrix products: "
        + ", ".join(f"{key} {value / 1e9:.0f}" for key, value in best.items())
        + " GFLOP/s"
    )
    results = {
        "machine": before,
        "ceiling": best,
        "lines": [line(name, given, best) for name in given.lines],
    }
    write(given.out, results)
    roofline(results, given.out.with_suffix(".png"))
