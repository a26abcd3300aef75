"""CPU seconds until an encoder is of use: kNN of CIFAR-10 over the seconds that training took.

    OMP_NUM_THREADS=1 python benchmarks/time_to_knn.py --data DIR [--peers-python PYTHON]
        [--images 23040] [--marks 3] [--peer-marks 1] [--goal 45] [--times 3] [--only NAME ...]

``--data``: CIFAR-10 as files, train/CLASS and test/CLASS. ``--peers-python``: the interpreter of
an environment with lightly, lightly-train and stable-pretraining; without it only ours runs. Each
contender starts from scratch in a process of its own with one thread, one after the other, and
leaves evenly spaced marks: encoders, measured afterwards by the same code: kNN with k = 20, a bank
of 10,000 training images, 2,000 test images, and all 10,000 for a mark that is within 3 points of
the goal by these; the JSON says ``"tests": 0`` where it was all. Seconds are the process's CPU
seconds up to the mark, its start included, and for ours an export with its proof.

Ours (``experiment=small_photographs``) trains on ``--images``. A peer then trains until it has
used ``--times`` our seconds to the goal, and a tenth more; a trial of four steps, which is not
counted, says how many steps that is. "Not reached" means: no mark was at the goal, the last of
them at those seconds; how long it would take is not known. The settings of each are in
``knn_contenders.py``; "lightly SimCLR, our network" is no peer, but shows how much is the network.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from knn_contenders import CONTENDERS
from knn_rule import proven, reached, steps_within, told
from processes import run

HERE = Path(__file__).resolve().parent
METRIC = "knn20_top1"
TRIAL, MARGIN = 4, 1.1
NEAR = 3.0  # points of kNN: 2.7 standard errors of 2,000 images


def train(name: str, asked: argparse.Namespace, steps: int, marks: int, out: Path):
    """Train one contender in its own process, unless ``out`` has it; CPU seconds by step."""
    from timing import bf16_here

    if not (out / "marks.json").is_file():
        out.mkdir()
        source = [str(asked.source), str(HERE)] if name == "ours" else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(source)}
        words = [sys.executable if name == "ours" else str(asked.peers_python)]
        words += [str(HERE / "knn_contenders.py"), name, "--data", str(asked.data)]
        words += ["--out", str(out), "--steps", str(steps), "--marks", str(marks)]
        words += ["--bf16"] if bf16_here() else []
        run(words, cwd=out, environment=environment, log=out / "log")
    found = json.loads((out / "marks.json").read_text())
    return {int(step): cpu for step, cpu in found.items()}


def measured(name: str, asked: argparse.Namespace, out: Path, step: int) -> dict[str, float]:
    """kNN of a mark: by some test images, and by all of them where these leave it undecided."""
    found, tests = knn(name, asked, out, step, asked.tests), asked.tests
    if abs(found - asked.goal) < NEAR:
        found, tests = knn(name, asked, out, step, None), 0
    return {"knn": round(found, 2), "tests": tests}


def knn(name: str, asked: argparse.Namespace, out: Path, step: int, tests: int | None) -> float:
    """kNN of the encoder of a mark, in percent; the same code for all."""
    import torch
    from timing import bf16_here

    from ssl_patches.data import FolderSource
    from ssl_patches.evaluation import evaluate_encoder

    network = CONTENDERS[name].network
    if network is None:
        import timm

        model = timm.create_model(f"local-dir:{out / f'encoder-{step}'}", pretrained=True)
    else:
        model = network()
        model.load_state_dict(torch.load(out / f"backbone-{step}.pt", weights_only=True))
    train, test = (
        FolderSource(root=str(asked.data), split=split, image_size=32, load_size=32)
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
        limit_train=asked.bank,
        limit_test=tests,
        probes=["knn"],
        floors=False,
        precision="bf16" if bf16_here() else "fp32",
        **CONTENDERS[name].statistics,
    )
    return next(row.value for row in rows if row.metric == METRIC)


def race(name: str, asked: argparse.Namespace, ours: float | None, place: Path) -> dict[str, Any]:
    """Train one contender, then measure what it left. ``ours``: our seconds to the goal."""
    contender, marks = CONTENDERS[name], asked.marks if name == "ours" else asked.peer_marks
    if ours is None:
        steps = asked.images // contender.batch // marks * marks
    else:
        trial = train(name, asked, TRIAL, 2, place / f"{name}-trial")
        steps = steps_within(trial, MARGIN * asked.times * ours)
        print(f"{name}: {steps} steps, after a trial {trial}", flush=True)
    cpu = train(name, asked, steps, marks, out := place / name)
    curve = []
    for step, seconds in cpu.items():
        mark = {"images": step * contender.batch, "cpu": seconds}
        curve.append(mark | measured(name, asked, out, step))
        seen = f"{mark['images']:7} images {seconds:7.0f} CPU s"
        print(f"{name:20} {seen}  kNN {curve[-1]['knn']}", flush=True)
    result = {"curve": curve, "reached": reached(curve, asked.goal)}
    if ours is not None:
        print(told(name, curve, asked.goal, ours, asked.times), flush=True)
        result["times_ours"] = proven(curve, asked.goal, ours)
    return result


def figure(found: dict[str, dict], goal: float, path: Path) -> None:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(6, 3.6), dpi=120, layout="constrained")
    axis = drawn.subplots()
    for name, result in found.items():
        seconds = [mark["cpu"] for mark in result["curve"]]
        label = CONTENDERS[name].label
        axis.plot(seconds, [mark["knn"] for mark in result["curve"]], "o-", label=label)
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
    parser.add_argument("--peers-python", type=Path, help="an interpreter that has the peers")
    parser.add_argument("--images", type=int, default=23_040, help="ours, repetitions counted")
    parser.add_argument("--marks", type=int, default=3, help="of ours")
    parser.add_argument("--peer-marks", type=int, default=1)
    parser.add_argument("--goal", type=float, default=45.0)
    parser.add_argument("--times", type=float, default=3.0, help="our seconds, that peers get")
    parser.add_argument("--bank", type=int, default=10_000)
    parser.add_argument("--tests", type=int, default=2_000, help="test images at first")
    parser.add_argument("--place", type=Path, help="keep trainings here, and take what is there")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--source", type=Path, default=HERE.parent, help="another checkout of ours")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/time_to_knn.json"))
    asked = parser.parse_args()

    import torch
    from timing import machine, write

    torch.set_num_threads(1)
    found: dict[str, dict[str, Any]] = {}
    began = time.monotonic()
    with contextlib.ExitStack() as until:
        place = asked.place or Path(until.enter_context(tempfile.TemporaryDirectory()))
        for name in ["ours", *(each for each in asked.only if each != "ours")]:
            if name != "ours" and not asked.peers_python:
                print(f"{name}: no --peers-python; left out")
                continue
            ours = found.get("ours", {}).get("reached")
            try:
                found[name] = race(name, asked, ours, place)
            except SystemExit as failed:
                if name == "ours":
                    raise
                print(f"{name}: failed and left out: {failed}", flush=True)
                continue
            if found["ours"]["reached"] is None:
                raise SystemExit(f"ours did not reach {asked.goal:g}: no peer can be compared")
            content = {
                "machine": machine(),
                "goal": asked.goal,
                "bank": asked.bank,
                "contenders": found,
            }
            write(asked.out, content | {"minutes": round((time.monotonic() - began) / 60, 1)})
            figure(found, asked.goal, asked.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
