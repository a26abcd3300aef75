"""A whole run from the command to the encoder on disk, beside a plain script: where do seconds go?

    OMP_NUM_THREADS=1 python benchmarks/whole_run.py [--images 9600] [--data DIR] [--peers DIR]

Contenders take turns, each as a process of its own with one thread: ours with everything that is on
by default (health panel, previews, export with its proof, evaluation with floors), a plain torch
script (``whole_run_plain.py``) and transformers' Trainer where accelerate is installed, or lies in
the folder ``--peers``. All train an MAE of the same shape on the same JPEGs for the same number of
steps in the same precision. Told are CPU seconds of the process and its children, the clock, the
peak of memory, and for ours the parts: the clock of another process's load says nothing, CPU
seconds do. lightly-train has no MAE, so it is none of these; ``time_to_knn.py`` is where it can
race.

``--data``: a folder with train/CLASS and val/CLASS; without, 2,400 drawn images are written as
JPEGs of 160 px. ``--kept``: ours runs twice in the same folder of runs, and the second, whose
floors are kept on disk, is told as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

from processes import Cost, run

HERE = Path(__file__).resolve().parent
MODEL = (
    *("task=masked", "encoder=vit_tiny", "encoder.patch_size=8"),
    *("encoder.options={depth:6,class_token:true}", "image_size=96", "data.batch_size=64"),
    "data.num_workers=0",
)
ALLOWED = {"share": 1.10, "more": 6.0, "over_plain": 15.0, "memory": 1.3}
"""The goals: seconds of ours at most 1.10 times its steps and 6, the plain script's and 15; memory
1.3 times."""


def drawn(folder: Path) -> Path:
    """Write 2,400 images of ten kinds as JPEGs: train/CLASS and val/CLASS."""
    from torchvision.io import write_jpeg

    from ssl_patches.data.embedded import EmbeddedSource

    for split in ("train", "val"):
        source = EmbeddedSource(
            split=split, count=2000 if split == "train" else 400, image_size=160
        )
        for index in range(len(source)):
            image, label, _ = source[index]
            place = folder / split / f"kind{label}"
            place.mkdir(parents=True, exist_ok=True)
            write_jpeg(image, str(place / f"{index:05d}.jpg"), quality=90)
    return folder


def ours(folder: Path, images: int, out: Path, precision: str, runs: Path, source: Path):
    words = ["pretrain", *MODEL, "data=folder", f"data.root={folder}", f"budget.images={images}"]
    words += [f"trainer.precision={precision}", f"run_dir={runs / out.name}"]
    environment = surroundings(source)
    command = [sys.executable, str(HERE / "whole_run_ours.py"), str(out / "parts.json"), *words]
    cost = run(command, cwd=out, environment=environment, log=out / "log")
    return cost, json.loads((out / "parts.json").read_text())


def surroundings(*folders: Path | None) -> dict[str, str]:
    path = os.pathsep.join(str(folder) for folder in folders if folder)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


def peer(kind: list[str], folder: Path, images: int, out: Path, precision: str, *path: Path | None):
    command = [sys.executable, str(HERE / "whole_run_plain.py"), str(folder), str(images)]
    command += [str(out), precision, *kind]
    return run(command, cwd=out, environment=surroundings(*path), log=out / "log")


def told(costs: dict[str, Cost], parts: dict[str, dict[str, float]]) -> dict[str, float]:
    """Print the table, and return ours against the goals."""
    print("CPU s  clock s  peak PSS MB  RSS MB  contender")
    for name, cost in costs.items():
        print(
            f"{cost.cpu:5.0f} {cost.clock:8.0f} {cost.peak_pss:12.0f} {cost.peak_rss:7.0f}  {name}"
        )
    if "ours" not in costs:
        return {}
    of = dict(parts["cpu"])
    first = of.pop("until the first step ends", 0.0)
    print(f"\nours, CPU seconds by part (the first step had ended after {first:.1f}):")
    for name, seconds in sorted(of.items(), key=lambda pair: -pair[1]):
        print(f"{seconds:6.1f}  {name}")
    mine, steps = costs["ours"].cpu, of["steps"]
    found = {"steps": steps, "beside_steps": mine - steps, "until_first_step": first}
    allowed = ALLOWED["share"] * steps + ALLOWED["more"]
    print(f"\n{mine:.0f} CPU s; 1.10 times its steps and 6 s would be {allowed:.0f}")
    if (plain := costs.get("plain script")) is not None:
        found["over_plain"] = mine - plain.cpu
        found["memory_times_plain"] = costs["ours"].peak_pss / max(plain.peak_pss, 1)
        print(
            f"{found['over_plain']:.0f} s more than the plain script (goal: 15), memory"
            f" {found['memory_times_plain']:.2f} times (goal: 1.3)"
        )
    return {key: round(value, 2) for key, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=9600, help="that each contender trains on")
    parser.add_argument("--data", type=Path, help="folder with train/CLASS and val/CLASS")
    parser.add_argument("--peers", type=Path, help="folder of packages, accelerate among them")
    parser.add_argument("--only", nargs="*", default=["ours", "plain script", "Trainer"])
    parser.add_argument("--kept", action="store_true", help="ours again, its floors kept")
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="default: by the hardware")
    parser.add_argument("--source", type=Path, default=HERE.parent, help="another checkout of ours")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/whole_run.json"))
    asked = parser.parse_args()
    precision = asked.precision or precision_here()
    costs: dict[str, Cost] = {}
    parts: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        folder = (asked.data or drawn(scratch / "images")).resolve()
        given = folder, asked.images
        for name in asked.only:
            out = scratch / name.replace(" ", "_")
            out.mkdir()
            if name == "ours":
                costs[name], parts = ours(*given, out, precision, scratch / "runs", asked.source)
            elif name == "plain script":
                costs[name] = peer([], *given, out, precision, asked.source)
            elif trainer_possible(asked.peers):
                path = asked.source, asked.peers
                costs[name] = peer(["trainer"], *given, out, precision, *path)
            else:
                print("Trainer: needs accelerate; left out")
        kept = {}
        if asked.kept and "ours" in costs:
            (out := scratch / "again").mkdir()
            cost, again = ours(*given, out, precision, scratch / "runs", asked.source)
            costs["ours, floors kept"], kept = cost, again["cpu"]
    summary = told(costs, parts)
    written(asked, precision, costs, {"parts": parts, "kept": kept, "summary": summary})


def precision_here() -> str:
    from ssl_patches.training.settings import TrainerSettings

    return TrainerSettings(precision="auto").resolved_precision()[0]


def trainer_possible(peers: Path | None) -> bool:
    there = peers is not None and (peers / "accelerate").is_dir()
    return (
        there or importlib.util.find_spec("accelerate") is not None
    ) and importlib.util.find_spec("transformers") is not None


def written(asked, precision: str, costs: dict[str, Cost], found: dict) -> None:
    from timing import machine, write

    content = {"machine": machine(), "images": asked.images, "precision": precision}
    content |= {"costs": {name: cost.as_dict() for name, cost in costs.items()}, **found}
    write(asked.out, content)


if __name__ == "__main__":
    main()
