"""What a Lightning run costs over the bare step, in CPU milliseconds per step and as a share of a
real step.

    OMP_NUM_THREADS=1 python benchmarks/framework.py [--blocks N]
    python benchmarks/framework.py --cifar10 DIR [--images N]

A run is what `ssl-patches pretrain` trains with, up to the last checkpoint: loop, metrics.csv,
watch for losses that are no number, signals. It is timed on a toy model, whose step is short, so
that the difference is not lost in the noise of the step; every cost of a run that does not depend
on the model shows there. Blocks of steps of the bare loop (same loader, same draws, same
optimiser), of the run, and of the run with the health panel and previews come in turns; a start of
a run is taken out by a run of one step. The share is that of a step of ViT-T/4 at 32 px, batch 64,
timed here too.

With a folder of CIFAR-10 a run of a real size instead (ViT of 6 blocks, bf16, defaults otherwise),
by the clock: the share of it that went into the health panel, into previews and into waiting for
data.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from itertools import islice, pairwise
from pathlib import Path

import torch
from ours import our_step, pretrainer
from peers import LINES
from timing import bf16_here, machine, one_thread, seconds, spread, write

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training.callbacks.health import Health
from ssl_patches.training.callbacks.previews import Previews
from ssl_patches.training.fit import fit
from ssl_patches.training.prepare import prepare
from ssl_patches.training.pretrainer import step_seed

STEPS, BATCH = 40, 8
TOY = (
    "task=masked",
    "encoder.options={depth:2,embed_dim:48,num_heads:3}",
    "encoder.patch_size=8",
    "image_size=32",
    "data.count=64",
    "data.num_workers=0",
    f"data.batch_size={BATCH}",
    "trainer.precision=fp32",
)


def prepared(steps: int, callbacks: str):
    words = [*TOY, f"budget.images={steps * BATCH}", f"callbacks={callbacks}"]
    return prepare(mixture.request(words, config_dirs=(), supplied=SUPPLIED, schema=PRETRAIN))


def bare(steps: int) -> float:
    run = prepared(steps, "none")
    module, optimizer = run.module.train(), run.module.configure_optimizers()

    def loop() -> None:
        for step, batch in enumerate(islice(run.data.train_dataloader(), steps)):
            torch.manual_seed(step_seed(0, step, 0))
            for group in optimizer.param_groups:
                group["lr"] = module.recipe.peak_lr(BATCH) * module.recipe.lr_multiplier(
                    step / steps
                )
            loss, _ = module.losses(batch.images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return seconds(loop)


def lightning(steps: int, callbacks: str) -> float:
    run = prepared(steps, callbacks)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()
        return seconds(lambda: fit(Path(folder), run, resumed=False, loggers=[]))


def per_step(measure) -> float:
    """Milliseconds of one step more."""
    return 1e3 * (measure(STEPS + 1) - measure(1)) / STEPS


def shares(root: Path, images: int) -> dict[str, float]:
    """Seconds of a run, and the shares of it."""
    words = [
        "experiment=first_light_cifar10",
        "task=masked",
        f"data.root={root}",
        f"budget.images={images}",
    ]
    run = prepare(mixture.request(words, config_dirs=(), supplied=SUPPLIED, schema=PRETRAIN))
    took = {"panel": 0.0, "previews": 0.0}
    for name, of, method in (("panel", Health, "_check"), ("previews", Previews, "draw")):
        setattr(of, method, clocked(getattr(of, method), took, name))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()
        began = time.monotonic()
        fit(Path(folder), run, resumed=False, loggers=[])
        whole = time.monotonic() - began
        rows = list(csv.DictReader((Path(folder) / "metrics.csv").read_text().splitlines()))
    waiting = statistics.fmean(float(row["data_wait"]) for row in rows[1:])
    return {
        "seconds": whole,
        **{name: seconds / whole for name, seconds in took.items()},
        "waiting for data": waiting,
    }


def clocked(method, took: dict[str, float], name: str):
    def run(*given):
        began = time.monotonic()
        method(*given)
        took[name] += time.monotonic() - began

    return run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="no block begins later, by the clock"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/framework.json"))
    parser.add_argument(
        "--cifar10", type=Path, help="folder with train/CLASS and test/CLASS: a run of a real size"
    )
    parser.add_argument("--images", type=int, default=60_000, help="of that run")
    given = parser.parse_args()
    if given.cifar10:
        found = shares(given.cifar10, given.images)
        seconds = {name: f"{value:.0f} s" for name, value in found.items() if name == "seconds"}
        written = {name: f"{100 * value:.2f} %" for name, value in found.items()} | seconds
        print(", ".join(f"{name} {value}" for name, value in written.items()))
        write(
            given.out.with_name("watching.json"),
            {"machine": machine(), "images": given.images, "shares": found},
        )
        raise SystemExit
    one_thread()
    ways = {
        "bare": bare,
        "run": lambda steps: lightning(steps, "none"),
        "run, panel and previews": lambda steps: lightning(steps, "default"),
    }
    for way in ways.values():
        way(2)
    taken = {name: [] for name in ways}
    began = time.monotonic()
    for block in range(given.blocks):
        if block and time.monotonic() - began > 60 * given.minutes:
            print(f"{block} of {given.blocks} blocks: the time was up")
            break
        for name, way in ways.items():
            taken[name].append(per_step(way))
    shape = LINES["ViT-T/4 @32"]
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    step = our_step(pretrainer(shape, batch=64), images, bf16=bf16_here())
    step()
    whole = 1e3 * statistics.median(seconds(step) for _ in range(3))
    over = {
        f"{name} over {before}": spread(
            [a - b for a, b in zip(taken[name], taken[before], strict=True)]
        )
        for before, name in pairwise(ways)
    }
    for name, found in over.items():
        bounds = f"{found['low']:.2f} to {found['high']:.2f}"
        share = f"{100 * found['median'] / whole:.2f} % of a step of {whole:.0f} ms"
        print(f"{name}: {found['median']:.2f} ms ({bounds}) a step, {share}")
    write(
        given.out,
        {"machine": machine(), "milliseconds_over": over, "milliseconds_of_a_step": whole},
    )
