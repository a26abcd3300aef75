"""What an evaluation found, image by image, in one compact file; and two such files compared on the
same images.

``evaluation.npz`` holds the rows, the protocol, what identifies the data, the labels of the test
images and what every probe answered for each of them (10,000 images and five probes: 100 kB). Two
encoders tested on the same images are compared in pairs, which tells apart what their two intervals
cannot: the images that both get right or both get wrong cancel. The difference has the percentile
bootstrap over images (both figures under the same resample); for classes McNemar's exact test
(1947) says how likely so lopsided a split of the images on which they differ is by chance.

The trap: the test is about these two *trainings*. That one recipe beats another takes several seeds
of both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from ssl_patches.config.atomic import replacing
from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.metrics import bounds, figures, resamples
from ssl_patches.evaluation.rows import Row, aligned, shown

FILE = "evaluation.npz"


@dataclass(frozen=True, kw_only=True)
class Record:
    """``answers``: by the stem of a figure ("knn20"), classes (N,), scores (N, L) or values (N, D),
    of the trained model."""

    rows: list[Row]
    kind: Kind
    index: Tensor  # (N,) int64: which images of the test source
    labels: Tensor  # (N,) int64, (N, L) bool or (N, D) float32
    answers: dict[str, Tensor]
    chosen: dict[str, Any]  # settings that probes chose on train
    protocol: dict[str, Any]
    data: dict[str, Any]  # what the test and train images are: name, fingerprints, limits
    classes: Sequence[str] = ()  # names of the labels where the data have them

    def save(self, path: Path) -> None:
        """Written aside and renamed: a reader sees all of it or nothing."""
        told = {key: getattr(self, key) for key in ("kind", "chosen", "protocol", "data")}
        told |= {"rows": [row.as_dict() for row in self.rows], "classes": list(self.classes)}
        arrays = {f"answers.{name}": _small(answers) for name, answers in self.answers.items()}
        with replacing(path) as half, half.open("wb") as file:
            np.savez_compressed(
                file,
                told=json.dumps(told),
                index=self.index.numpy(),
                labels=_small(self.labels),
                **arrays,
            )

    @classmethod
    def load(cls, path: Path) -> Record:
        """ValueError when there is none, or it is no record of ours."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                told = json.loads(str(stored["told"]))
                arrays = {name: _wide(stored[name]) for name in stored.files if name != "told"}
            told["rows"] = [Row(**row) for row in told["rows"]]
            prefix = "answers."
            answers = {
                name.removeprefix(prefix): part
                for name, part in arrays.items()
                if name.startswith(prefix)
            }
            return cls(index=arrays["index"], labels=arrays["labels"], answers=answers, **told)
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
    """One figure of two models on the same test images; ``difference``, ``low``, ``high`` in the
    figure's unit."""

    metric: str
    difference: float  # of the first less the second
    low: float
    high: float
    only_first: (
        int | None
    )  # images that it alone gets right; None where answers are not right or wrong
    only_second: int | None
    p: float | None  # McNemar's, exact and two-sided
    n: int

    def rows(self, *, data: str) -> list[Row]:
        """In the columns of every result: the difference, and for classes ``{metric}_p``, a
        probability in 0..1."""
        of = {"model": "difference", "data": data, "n": self.n}
        rows = [Row(metric=self.metric, value=self.difference, low=self.low, high=self.high, **of)]
        if self.p is not None:
            rows.append(Row(metric=f"{self.metric}_p", value=self.p, low=self.p, high=self.p, **of))
        return rows


def paired(first: Record, second: Record) -> list[Paired]:
    """Every figure that both records have. ValueError when they are not of the same images under
    the same protocol."""
    _check_alike(first, second)
    both = [name for name in first.answers if name in second.answers]
    counts = list(resamples(len(first.labels))) if both else []
    found = []
    for name in both:
        answers = [record.answers[name] for record in (first, second)]
        whole = [figures(answer, first.labels, kind=first.kind) for answer in answers]
        drawn = [
            [figures(answer, first.labels, kind=first.kind, counts=some) for answer in answers]
            for some in counts
        ]  # both under the same resamples
        for figure in whole[0]:
            low, high = bounds(torch.cat([one[figure] - other[figure] for one, other in drawn]))
            difference = (whole[0][figure] - whole[1][figure]).item()
            alone = mcnemar(*answers, first.labels) if first.kind == "class" else (None, None, None)
            found.append(
                Paired(f"{name}_{figure}", difference, low, high, *alone, n=len(first.labels))
            )
    return found


def paired_table(pairs: Sequence[Paired]) -> str:
    """Pairs as aligned text."""
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
                shown(pair.metric, pair.difference, pair.low, pair.high),
                *alone,
                str(pair.n),
            ]
        )
    return aligned(text)


def mcnemar(first: Tensor, second: Tensor, labels: Tensor) -> tuple[int, int, float]:
    """Images (N,) that only the first gets right, only the second, and the exact two-sided p of
    that split."""
    right = [answers == labels for answers in (first, second)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    differ = only_first + only_second
    return only_first, only_second, float(binomtest(only_first, differ).pvalue) if differ else 1.0


def _check_alike(first: Record, second: Record) -> None:
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


def _small(values: Tensor) -> np.ndarray:
    """Whole numbers in as few bytes as they need."""
    array = values.cpu().numpy()
    if not np.issubdtype(array.dtype, np.integer) or not array.size:
        return array
    return array.astype(
        np.promote_types(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
    )


def _wide(array: np.ndarray) -> Tensor:
    return torch.from_numpy(
        array.astype(np.int64) if np.issubdtype(array.dtype, np.integer) else array
    )
