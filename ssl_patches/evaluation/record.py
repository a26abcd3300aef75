"""Keep what an evaluation found, image by image, and compare two such records.

``evaluation.npz`` holds the rows, the protocol, what identifies the data, the labels of the test
images and what every probe predicted for each of them (10,000 images and five probes: 100 kB). Two
encoders tested on the same images are compared in pairs, which tells apart what their two intervals
cannot: the images that both get right or both get wrong cancel. The difference has the percentile
bootstrap over images (both metrics under the same resample); for classes McNemar's exact test
(1947) says how likely so lopsided a split of the images on which they differ is by chance.

The trap: the test is about these two *trainings*. That one recipe beats another takes several seeds
of both.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from ssl_patches.config.atomic import replacing, tidy
from ssl_patches.config.outside import parse_json
from ssl_patches.config.plain_text import aligned
from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.metrics import bounds, metrics_of, resamples
from ssl_patches.evaluation.rows import DIFFERENCE, Row, with_bounds

FILE = "evaluation.npz"
KEPT = ("kind", "chosen", "protocol", "data", "precision")
PREFIX = "answers."  # of the name of a probe, in the file
FLOOR_PREFIX = "floor."  # then the floor, a dot and the name of a probe


@dataclass(frozen=True, kw_only=True)
class Record:
    """The rows of an evaluation, and what the trained model predicted for each of N test images.

    ``index`` (N,) int64: which images of the test source. ``labels``: int64 (N,), bool (N, L) or
    float32 (N, D). ``predictions``: by the name of a probe ("knn20"), classes (N,), scores (N, L)
    or values (N, D). ``chosen``: settings that probes chose on train. ``data``: what the train and
    test images are: name, fingerprints, limits. ``classes``: names of the labels where the data
    have them. ``precision``: of the encoder; "" in a file of before. ``seen``: numbers of test
    images, and of training images with the same pixels; it is not kept in the file. ``floors``: by
    floor, predictions of classes as ``predictions``; a file of before has none.
    """

    rows: list[Row]
    kind: Kind
    index: Tensor
    labels: Tensor
    predictions: dict[str, Tensor]
    chosen: dict[str, Any]
    protocol: dict[str, Any]
    data: dict[str, Any]
    classes: Sequence[str] = ()
    precision: str = ""
    seen: Sequence[tuple[int, int]] = ()
    floors: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def of(self, model: str) -> Record:
        """Return the record with what another model predicted for the same images, a floor."""
        return replace(self, predictions=self.floors.get(model, {}))

    @property
    def answers(self) -> dict[str, Tensor]:
        """Return ``predictions`` (N, ...), under their former name."""
        return self.predictions

    def save(self, path: Path) -> None:
        """Write the record; a reader sees all of it or nothing."""
        tidy(path.parent, glob.escape(path.name))
        told = {key: vars(self)[key] for key in KEPT}
        told |= {"rows": [row.as_dict() for row in self.rows], "classes": list(self.classes)}
        arrays: dict[str, Any] = {
            PREFIX + name: narrowed(some) for name, some in self.predictions.items()
        }
        arrays |= {
            f"{FLOOR_PREFIX}{floor}.{name}": narrowed(some)
            for floor, found in self.floors.items()
            for name, some in found.items()
        }
        with replacing(path) as half, half.open("wb") as file:
            np.savez_compressed(
                file,
                told=json.dumps(told),
                index=self.index.numpy(),
                labels=narrowed(self.labels),
                **arrays,
            )

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a record. ValueError when there is none, or it is no record of ours."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                told = parse_json(str(stored["told"]))
                arrays = {name: widened(stored[name]) for name in stored.files if name != "told"}
            told["rows"] = [Row(**row) for row in told["rows"]]
            predictions = {
                name.removeprefix(PREFIX): array
                for name, array in arrays.items()
                if name.startswith(PREFIX)
            }
            floors: dict[str, dict[str, Tensor]] = {}
            for name, array in arrays.items():
                if name.startswith(FLOOR_PREFIX):
                    floor, _, probe = name.removeprefix(FLOOR_PREFIX).partition(".")
                    floors.setdefault(floor, {})[probe] = array
            return cls(
                index=arrays["index"],
                labels=arrays["labels"],
                predictions=predictions,
                floors=floors,
                **told,
            )
        except FileNotFoundError:
            raise ValueError(
                f"{path}: no such file; evaluate the run again, its results are kept there"
            ) from None
        except (OSError, KeyError, TypeError, ValueError, BadZipFile) as error:
            raise ValueError(
                f"{path}: cannot be read ({type(error).__name__}: {error}); evaluate the run again"
            ) from None


@dataclass(frozen=True, slots=True)
class Paired:
    """One metric of two models on the same ``n`` test images.

    ``difference``: of the first less the second, with its bounds, in the metric's unit.
    ``only_first``, ``only_second``: images that one alone gets right, and ``p``: of McNemar's exact
    two-sided test; None where predictions are not right or wrong.
    """

    metric: str
    difference: float
    low: float
    high: float
    only_first: int | None
    only_second: int | None
    p: float | None
    n: int

    def rows(self, *, data: str) -> list[Row]:
        """Return the difference as a row, and for classes ``{metric}_p``, in 0..1."""
        of: dict[str, Any] = {"model": DIFFERENCE, "data": data, "n": self.n}
        rows = [Row(metric=self.metric, value=self.difference, low=self.low, high=self.high, **of)]
        if self.p is not None:
            rows.append(Row(metric=f"{self.metric}_p", value=self.p, low=self.p, high=self.p, **of))
        return rows


def paired(first: Record, second: Record) -> list[Paired]:
    """Compare every metric that both records have.

    ValueError when they are not of the same images under the same protocol.
    """
    check_alike(first, second)
    both = [name for name in first.predictions if name in second.predictions]
    counts = list(resamples(len(first.labels))) if both else []
    found = []
    for name in both:
        one, other = first.predictions[name], second.predictions[name]
        whole = [metrics_of(some, first.labels, kind=first.kind) for some in (one, other)]
        drawn = [
            [metrics_of(some, first.labels, kind=first.kind, counts=drawn) for some in (one, other)]
            for drawn in counts
        ]  # both under the same resamples
        alone: tuple[int | None, int | None, float | None] = (None, None, None)
        if first.kind == "class":
            alone = mcnemar(one, other, first.labels)
        for metric in whole[0]:
            low, high = bounds(torch.cat([mine[metric] - its[metric] for mine, its in drawn]))
            difference = (whole[0][metric] - whole[1][metric]).item()
            found.append(
                Paired(f"{name}_{metric}", difference, low, high, *alone, n=len(first.labels))
            )
    return found


def paired_table(pairs: Sequence[Paired]) -> str:
    """Lay out pairs as aligned text, a line each."""
    text = [["metric", "difference", "only first", "only second", "McNemar's p", "n"]]
    for pair in pairs:
        alone = (
            [str(pair.only_first), str(pair.only_second), f"{pair.p:.2g}"]
            if pair.p is not None
            else ["-"] * 3
        )
        text.append(
            [
                pair.metric,
                with_bounds(pair.metric, pair.difference, pair.low, pair.high),
                *alone,
                str(pair.n),
            ]
        )
    return aligned(text)


def mcnemar(first: Tensor, second: Tensor, labels: Tensor) -> tuple[int, int, float]:
    """Count what only one of two models gets right, and test that split (McNemar 1947).

    ``first``, ``second``, ``labels``: classes (N,). Returns the images that only the first gets
    right, only the second, and the exact two-sided p.
    """
    from scipy.stats import binomtest

    right = [predictions == labels for predictions in (first, second)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    differ = only_first + only_second
    return only_first, only_second, float(binomtest(only_first, differ).pvalue) if differ else 1.0


def check_alike(first: Record, second: Record) -> None:
    """Raise ValueError unless both are of the same images under the same protocol."""
    if first.protocol.get("version") != second.protocol.get("version"):
        versions = [record.protocol.get("version") for record in (first, second)]
        raise ValueError(
            f"against: one is of protocol {versions[0]} and the other of {versions[1]}; evaluate"
            " both again"
        )
    same = (
        first.kind == second.kind
        and torch.equal(first.index, second.index)
        and torch.equal(first.labels, second.labels)
    )
    if not same:
        names = [f"{len(record.index)} of {record.data.get('name')}" for record in (first, second)]
        raise ValueError(
            f"against: other test images ({' and '.join(names)}); evaluate both with the same data="
            " and test_images="
        )
    if (
        first.data["image_size"] == second.data["image_size"] and first.data != second.data
    ):  # drawn images differ by size
        raise ValueError(
            f"against: probes learned from other images ({first.data} and {second.data}); evaluate"
            " both on the same"
        )


def narrowed(values: Tensor) -> np.ndarray:
    """Return values (N, ...) as an array, whole numbers in as few bytes as they need."""
    array = values.cpu().numpy()
    if not np.issubdtype(array.dtype, np.integer) or not array.size:
        return array
    return array.astype(
        np.promote_types(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
    )


def widened(array: np.ndarray) -> Tensor:
    """Return an array of ``narrowed`` as a tensor (N, ...), whole numbers as int64."""
    return torch.from_numpy(
        array.astype(np.int64) if np.issubdtype(array.dtype, np.integer) else array
    )
