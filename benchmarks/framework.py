"""What a Lightning run costs over the bare step, in CPU milliseconds per step and as a share of a real step.

    OMP_NUM_THREADS=1 python benchmarks/framework.py [--blocks N]

A run is what `ssl-patches pretrain` trains with, up to the last checkpoint: loop, metrics.csv, watch for losses that are
no number, signals. It is timed on a toy model, whose step is short, so that the difference is not lost in the noise of
the step; every cost of a run that does not depend on the model shows there. Blocks of steps of the bare loop (same
loader, same draws, same optimiser), of the run, and of the run with the health panel and previews come in turns; a
start of a run is taken out by a run of one step. The share is that of a step of ViT-T/4 at 32 px, batch 64, timed here too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from itertools import islice
from pathlib import Path

import torch
from ours import our_step, pretrainer
from peers import LINES
from timing import machine, one_thread, seconds, spread, write

from ssl_patches import mixture
from ssl_patches.pretrainer import step_seed
from ssl_patches.run import _fit, prepare
from ssl_patches.schema import PRETRAIN, SUPPLIED

STEPS, BATCH = 40, 8
TOY = ("task=masked", "encoder.options={depth:2,embed_dim:48,num_heads:3}", "encoder.patch_size=8", "image_size=32",
       "data.count=64", "data.num_workers=0", f"data.batch_size={BATCH}", "trainer.precision=fp32")  # fmt: skip


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
                group["lr"] = module.recipe.peak(BATCH) * module.recipe.factor(step / steps)
            loss, _ = module.losses(batch.images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return seconds(loop)


def lightning(steps: int, callbacks: str) -> float:
    run = prepared(steps, callbacks)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()
        return seconds(lambda: _fit(Path(folder), run, resumed=False, logger=False))


def per_step(measure) -> float:
    """Milliseconds of one step more."""
    return 1e3 * (measure(STEPS + 1) - measure(1)) / STEPS


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/framework.json"))
    given = parser.parse_args()
    one_thread()
    ways = {
        "bare": bare,
        "run": lambda steps: lightning(steps, "none"),
        "run, panel and previews": lambda steps: lightning(steps, "default"),
    }
    for way in ways.values():
        way(2)
    taken = {name: [] for name in ways}
    for _ in range(given.blocks):
        for name, way in ways.items():
            taken[name].append(per_step(way))
    shape = LINES["ViT-T/4 @32"]
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    step = our_step(pretrainer(shape, batch=64), images, bf16=True)
    step()
    whole = 1e3 * statistics.median(seconds(step) for _ in range(3))
    over = {
        f"{name} over {before}": spread([a - b for a, b in zip(taken[name], taken[before], strict=True)])
        for before, name in zip(ways, list(ways)[1:], strict=False)
    }
    for name, found in over.items():
        print(f"{name}: {found['median']:.2f} ms ({found['low']:.2f} to {found['high']:.2f}) a step, "
              f"{100 * found['median'] / whole:.2f} % of a step of {whole:.0f} ms")  # fmt: skip
    write(given.out, {"machine": machine(), "milliseconds_over": over, "milliseconds_of_a_step": whole})
