"""Group runs that repeat each other, and refuse those that may not be compared.

Runs of one task and encoder that differ in nothing but the seed are one *entry*; its seeds are its
sample. What else differs among the runs of a task (``views``, a tile scale, a learning rate) splits
them, and the keys that split them, as few as will do, become the name: ``jigsaw views=Whole``. The
floors are entries too: random initialisation has seeds, raw pixels has none.

Runs of other data or another evaluation are not comparable: refused, or, when told (``mixed``), in
the table with a mark, and never tested against each other.

The trap: the same seed twice is no second draw (a run copied, or repeated after a crash). Values of
one seed are averaged first, and n counts seeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_patches.config.messages import shown
from ssl_patches.config.run_dir import changed_settings
from ssl_patches.evaluation.rows import RAW_PIXELS, TRAINED
from ssl_patches.studies.compare.runs import FLOORS, FinishedRun
from ssl_patches.studies.compare.statistics import Sample

ASIDE = (
    "seed",
    "run_dir",
    "resume",
    "overwrite",
    "logger",
    "callbacks",
    "data.root",
    "data.path",
    "data.skip",
    "data.num_workers",
    "data.max_corrupt",
    "data.cache",
    "data.cache_max_gb",
)
"""Settings that do not make it another experiment; the data are told apart by their fingerprint."""
UNEQUAL = 1.05  # FLOPs are counted per step, so an equal budget ends within one step
NAMED = 4  # things that a note names
BOOKKEEPING = ("log_every", "checkpoint_minutes", "checkpoint_steps", "checkpoints_kept")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the table: runs that repeat each other, or a floor that runs share."""

    name: str
    model: str  # "trained" or a floor
    encoder: str  # "-" where none is involved
    runs: tuple[FinishedRun, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)  # the keys in its name
    mark: str = ""  # which protocol, where a table holds several

    @property
    def task(self) -> str:
        """Return the task of the runs; "-" for a floor."""
        return self.runs[0].task if self.model == TRAINED else "-"

    @property
    def seeds(self) -> list[int]:
        """Return the different seeds of the runs, in order."""
        return sorted({run.seed for run in self.runs})

    def sample(self, metric: str) -> Sample | None:
        """Return the value of every seed; None where no run has that metric."""
        by_seed: dict[int, list[float]] = {}
        for run in self.runs:
            if row := run.value(self.model, metric):
                by_seed.setdefault(run.seed, []).append(row["value"])
        values = tuple(sum(by_seed[seed]) / len(by_seed[seed]) for seed in sorted(by_seed))
        fixed = self.model == RAW_PIXELS
        return Sample(self.name, values[:1] if fixed else values, fixed) if values else None

    def spent(self, what: str) -> float:
        """Return the mean over runs of ``images``, ``flops`` or ``seconds``."""
        return sum(run.used[what] for run in self.runs) / len(self.runs)


def entries_of(
    runs: Sequence[FinishedRun], *, mixed: bool = False
) -> tuple[list[Entry], list[str]]:
    """Group runs into entries, the floors last, and note what a reader must know. ValueError where
    runs must not be mixed."""
    marks, notes = _protocols(runs, mixed=mixed)
    several = len({run.encoder for run in runs}) > 1
    found = []
    for (task, encoder, mark), members in _by(
        runs, lambda run: (run.task, run.encoder, marks[run.path])
    ):
        split = _split(members, [_settings(run.config) for run in members])
        for settings, repeated in split:
            words = [
                task,
                *([encoder] if several else []),
                *map(_word, settings.items()),
                *([f"[{mark}]"] if mark else []),
            ]
            found.append(Entry(" ".join(words), TRAINED, encoder, tuple(repeated), settings, mark))
    for entry in found:
        if doubled := len(entry.runs) - len(entry.seeds):
            notes.append(
                f"{entry.name}: {doubled} of {len(entry.runs)} runs repeat a seed; each seed counts"
                " once"
            )
    return found + list(_floors(runs, marks, several=several)), notes + _unequal(runs)


def metric_names(runs: Sequence[FinishedRun]) -> list[str]:
    """List every metric of the results, in the order in which the runs name them."""
    return list(dict.fromkeys(row["metric"] for run in runs for row in run.results))


def _by(items: Sequence[Any], key: Any) -> list[tuple[Any, list[Any]]]:
    found: dict[Any, list[Any]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.items())


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Key path -> value, of everything that makes a run what it is."""
    return {
        key: value
        for key, value in _leaves(config)
        if not any(key == aside or key.startswith(f"{aside}.") for aside in (*ASIDE, "evaluation"))
        and not (key.startswith("trainer.") and key.split(".")[1] in BOOKKEEPING)
    }


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(node, Mapping):
        yield key, node
        return
    for name, value in node.items():
        yield from _leaves(value, f"{key}.{name}".lstrip("."))


def _split(
    members: Sequence[FinishedRun], settings: Sequence[Mapping[str, Any]]
) -> list[tuple[dict[str, Any], list[FinishedRun]]]:
    """Members that agree in every setting, each lot under the fewest keys that tell it from the
    others."""

    def written(of: Mapping[str, Any], keys: Sequence[str]) -> str:
        return json.dumps([of.get(key) for key in keys], sort_keys=True, default=repr)

    keys = sorted({key for of in settings for key in of})
    keys = [key for key in keys if len({written(of, [key]) for of in settings}) > 1]
    distinct = len({written(of, keys) for of in settings})
    for key in sorted(
        keys, key=lambda key: (key.count("."), not key.endswith("_target_"), key), reverse=True
    ):
        fewer = [other for other in keys if other != key]
        if len({written(of, fewer) for of in settings}) == distinct:
            keys = fewer
    lots = _by(list(zip(members, settings, strict=True)), lambda pair: written(pair[1], keys))
    return [
        ({key: lot[0][1][key] for key in keys if key in lot[0][1]}, [run for run, _ in lot])
        for _, lot in lots
    ]


def _word(setting: tuple[str, Any]) -> str:
    """``views._target_``: ``ssl_patches.views.Whole`` -> ``views=Whole``."""
    key, value = setting
    if key.endswith("._target_"):
        return f"{key.removesuffix('._target_')}={str(value).rpartition('.')[2]}"
    return f"{key}={shown(value)}"


def _floors(
    runs: Sequence[FinishedRun], marks: Mapping[Path, str], *, several: bool
) -> Iterator[Entry]:
    """Yield what the runs were measured against.

    Raw pixels for each size of image, any other model for each encoder.
    """
    models = dict.fromkeys(row["model"] for run in runs for row in run.results)
    for floor in [
        *(name for name in FLOORS if name in models),
        *(name for name in models if name not in (TRAINED, *FLOORS)),
    ]:
        raw = floor == RAW_PIXELS
        having = [run for run in runs if any(row["model"] == floor for row in run.results)]
        for (encoder, mark), members in _by(
            having, lambda run, raw=raw: ("-" if raw else run.encoder, marks[run.path])
        ):
            keys = ("image_size",) if raw else ("image_size", "encoder")
            settings = [_settings({key: run.config.get(key) for key in keys}) for run in members]
            for chosen, sharing in _split(members, settings):
                name = [
                    floor,
                    *([encoder] if several and not raw else []),
                    *map(_word, chosen.items()),
                ]
                yield Entry(
                    " ".join([*name, *([f"[{mark}]"] if mark else [])]),
                    floor,
                    encoder,
                    tuple(sharing),
                    chosen,
                    mark,
                )


def _protocol(run: FinishedRun, shared: set[str]) -> dict[str, Any]:
    """Collect what must agree before two numbers may be compared: the data, and the evaluation."""
    evaluation = {
        key: value
        for key, value in (run.config.get("evaluation") or {}).items()
        if key != "batch_size"
    }
    tested = {
        row["metric"]: row["n"]
        for row in run.results
        if row["model"] == TRAINED and row["metric"] in shared
    }
    evaluated_on = sorted({row["data"] for row in run.results})
    return {
        "data_fingerprint": run.fingerprint,
        "labels_fingerprint": run.labels,
        "results.data": evaluated_on,
        "evaluation": evaluation,
        "protocol": run.protocol,
        "test images": tested,
    }


def _protocols(runs: Sequence[FinishedRun], *, mixed: bool) -> tuple[dict[Path, str], list[str]]:
    """Path of a run -> mark ("" where all agree), and a note for each mark."""
    having = [{row["metric"] for row in run.results if row["model"] == TRAINED} for run in runs]
    shared = set.intersection(*filter(None, having)) if any(having) else set()
    labelled = [run for run, metrics in zip(runs, having, strict=True) if metrics] or list(runs)
    lots = _by(
        labelled, lambda run: json.dumps(_protocol(run, shared), sort_keys=True, default=repr)
    )
    if len(lots) < 2:
        return {run.path: "" for run in runs}, []
    first = lots[0][1]
    told = []
    for _, other in lots[1:]:
        changed = changed_settings(_protocol(first[0], shared), _protocol(other[0], shared))
        shortened = {
            key: (_short(key, before), _short(key, now)) for key, (before, now) in changed.items()
        }
        texts = [f"{key} {before} there, {now} here" for key, (before, now) in shortened.items()]
        told.append((other, _few(texts, "; ")))
    if not mixed:
        other, what = told[0]
        raise ValueError(
            f"compare: runs of different data or protocol: {first[0].path} ({_runs(first)}) and"
            f" {other[0].path} ({_runs(other)}):"
            f" {what.replace(' there', ' in the first').replace(' here', ' in the second')}; name"
            " runs that agree, or give --mixed to see them marked and not tested against each"
            " other"
        )
    marks = {run.path: "" for run in runs} | {
        run.path: chr(65 + at % 26) for at, (_, lot) in enumerate(lots) for run in lot
    }
    notes = [f"[A] {_runs(first)}, {first[0].data}: not comparable with the others in this table"]
    notes += [
        f"[{chr(66 + at % 26)}] {_runs(lot)}, {lot[0].data}, against [A]: {what}"
        for at, (lot, what) in enumerate(told)
    ]
    return marks, notes


def _few(texts: Sequence[str], between: str = ", ") -> str:
    """Join texts; of many the first, and how many more there are: a note is read in passing."""
    more = [f"and {len(texts) - NAMED} more"] if len(texts) > NAMED else []
    return between.join([*texts[:NAMED], *more])


def _short(key: str, value: Any) -> str:
    return str(value)[:12] if key.endswith("_fingerprint") else shown(value)


def _runs(lot: Sequence[FinishedRun]) -> str:
    return f"{len(lot)} run{'s' * (len(lot) > 1)}"


def _unequal(runs: Sequence[FinishedRun]) -> list[str]:
    """Note what does not forbid a comparison but changes how it is read."""
    notes = []
    budgets = {json.dumps(run.config.get("budget"), sort_keys=True) for run in runs}
    if len(budgets) > 1:
        given = {
            f"budget.{key}={shown(value)}"
            for text in budgets
            for key, value in (json.loads(text) or {}).items()
            if value
        }
        notes.append(
            f"budgets differ ({_few(sorted(given)) or 'none set'}): read accuracy against"
            " cost, not the ranking"
        )
    flops = [run.used["flops"] for run in runs]
    if len(budgets) == 1 and max(flops) > UNEQUAL * min(flops):
        factor = max(flops) / max(min(flops), 1.0)
        notes.append(
            f"the budget is equal, FLOPs are not: the dearest run took {factor:.1f} times those of"
            " the cheapest"
        )
    for name in dict.fromkeys(name for run in runs for name in run.versions):
        versions = sorted({str(run.versions.get(name, "-")) for run in runs})
        if len(versions) > 1:
            notes.append(f"runs were made with different versions of {name}: {_few(versions)}")
    return notes
