"""What bf16 does to the figures of an evaluation: trained encoders and random weights.

    python benchmarks/evaluation_precision.py RUN [RUN ...] --train-images 2000 --test-images 1000

Each RUN is evaluated twice on its own images, by the product's own evaluation, floors included.
Told are the figures in both precisions, for how many test images a probe answers otherwise, how far
features are apart, and the CPU seconds of each. JSON goes to
runs/benchmarks/evaluation_precision.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from timing import machine

from ssl_patches.data import build as build_data
from ssl_patches.data.module import ordered_loader
from ssl_patches.encoders.attention import choose_attention
from ssl_patches.encoders.subject import Subject, open_model
from ssl_patches.evaluation.features.extract import extract
from ssl_patches.evaluation.one_model import record_of
from ssl_patches.evaluation.record import Record, paired

LOOKED_AT = 64  # images whose features are compared
METRICS = ("knn20_top1", "linear_top1")


def features(run: str, precision: Any) -> torch.Tensor:
    """Features (N, dim) of the first test images, of an encoder that was opened anew."""
    subject = open_model(run, pretrained=True)
    choose_attention(subject.model, accelerator="cpu", precision=precision)
    assert subject.cfg is not None
    source = build_data.source(
        {"data": subject.cfg["data"], "image_size": subject.image_size}, "val", whole=True
    )
    loader = ordered_loader(source, batch_size=32, num_workers=0, limit=LOOKED_AT)
    given = {"mean": subject.mean, "std": subject.std, "device": "cpu"}
    return extract(subject.model, loader, precision=precision, **given)[0]


def evaluated(subject: Subject, settings: dict[str, Any]) -> tuple[Record, float]:
    """The record of an evaluation with floors, and the CPU seconds that it took."""
    assert subject.cfg is not None
    began = time.process_time()
    with tempfile.TemporaryDirectory() as floors:
        record = record_of(
            subject,
            subject.cfg["data"],
            settings,
            floors=Path(floors),
            figures=None,
            num_workers=0,
            allowed=None,
            say=lambda _: None,
            sources=None,
        )
    return record, time.process_time() - began


def compared(run: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """Evaluate one run in both precisions, and print and return what differs."""
    records, seconds = {}, {}
    for precision in ("fp32", "bf16"):
        subject = open_model(run, pretrained=True)
        settings = {"probes": ["knn", "linear"], "labels": "auto", "batch_size": 256, **numbers}
        records[precision], seconds[precision] = evaluated(
            subject, settings | {"precision": precision}
        )
    exact, half = (features(run, precision) for precision in ("fp32", "bf16"))
    apart = ((half - exact).norm(dim=1) / exact.norm(dim=1)).mean().item()
    name = type(open_model(run, pretrained=True).model).__name__
    print(f"{name}, {run}: CPU s {seconds['fp32']:.0f} in fp32, {seconds['bf16']:.0f} in bf16")
    print(f"  features are {apart:.4f} of their length apart (mean of {len(exact)} images)")
    figures: dict[str, Any] = {}
    for model in ("trained", "random_init"):
        for metric in METRICS:
            of = {
                precision: next(
                    row.value for row in record.rows if (row.model, row.metric) == (model, metric)
                )
                for precision, record in records.items()
            }
            figures[f"{model} {metric}"] = {key: round(value, 2) for key, value in of.items()}
            print(f"  {model:12} {metric:12} fp32 {of['fp32']:6.2f}  bf16 {of['bf16']:6.2f}")
    pairs = {}
    for pair in paired(records["bf16"], records["fp32"]):
        if pair.metric in METRICS:
            pairs[pair.metric] = {"only_bf16": pair.only_first, "only_fp32": pair.only_second}
            print(
                f"  {pair.metric}: right in bf16 only {pair.only_first}, in fp32 only"
                f" {pair.only_second}, of {pair.n} images"
            )
    return {
        "network": name,
        "cpu_seconds": {key: round(value, 1) for key, value in seconds.items()},
        "features_apart": round(apart, 5),
        "figures": figures,
        "pairs": pairs,
        "test_images": len(records["fp32"].labels),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--train-images", type=int)
    parser.add_argument("--test-images", type=int)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/benchmarks/evaluation_precision.json")
    )
    asked = parser.parse_args()
    numbers = {"train_images": asked.train_images, "test_images": asked.test_images}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    found = {Path(run).name: compared(run, numbers) for run in asked.runs}
    content = {"machine": machine(), **numbers, "runs": found}
    asked.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
