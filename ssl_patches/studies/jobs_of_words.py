"""Compose and check the jobs of a study: words in, keys and directories out.

Each data set is looked at once. Numbers from ranges are filled in when
Optuna has chosen them: that nothing else follows from such a number is made sure of here, at both
ends of each range.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ssl_patches.config import baseline
from ssl_patches.config.run_dir import SUMMARY
from ssl_patches.studies.advised import Advice
from ssl_patches.studies.compositions import Compositions, with_budget_as_before
from ssl_patches.studies.jobs import Job, Search, hash_of, run_key, with_numbers
from ssl_patches.studies.records import Design, Tuning
from ssl_patches.studies.space import Tuned, listed, words_of


class JobComposer:
    """Composes and checks jobs, each configuration and each data set once; ``problems`` grows."""

    def __init__(
        self,
        design: Design,
        config_dirs: Sequence[Path | str],
        out: Path,
        allowed: Sequence[str] | None = None,
        advice: Advice | None = None,
    ) -> None:
        self.design, self.config_dirs, self.out = design, config_dirs, out
        self.advice = advice
        self.problems: list[str] = []
        self.sources: dict[str, tuple[Any, Any]] = {}
        self.there: dict[str, list[str]] = {}
        self.fitting: set[str] = set()
        self.compositions = Compositions(config_dirs, allowed)

    def compose(self, words: Sequence[str]) -> dict[str, Any]:
        """Compose and check a configuration. BadRequest with what is wrong."""
        return self.compositions(words)

    def job(self, name: str, words: Sequence[str], *, below: str) -> list[Job]:
        """Return the one job, or none after saying why.

        With ``advice`` it has what that chooses, unless it was begun without.
        """
        if self.advice is None or baseline.WORD in words:
            return self._job(name, words, below=below)
        typed = [*self.design.base, *words]
        try:
            cfg = self.compose(typed)
        except ValueError:  # told below
            return self._job(name, words, below=below)
        if begun := self._begun_without_advice(name, words, below=below):
            return begun
        return self._job(name, [*self.advice.words(name, typed, cfg), *words], below=below)

    def _begun_without_advice(self, name: str, words: Sequence[str], *, below: str) -> list[Job]:
        """Return the job as it is typed where it lies there already."""
        if not Path(self.out).is_dir():
            return []
        told, self.problems = self.problems, []
        found = self._job(name, words, below=below)
        self.problems = told
        return [job for job in found if Path(self.out, job.place).exists()]

    def _job(self, name: str, words: Sequence[str], *, below: str) -> list[Job]:
        wanted = baseline.WORD in words
        words = [*self.design.base, *(word for word in words if word != baseline.WORD)]
        try:
            cfg = self.compose(words)
            cfg = baseline.instead_of_task(cfg) if wanted else cfg
            fingerprint, former = self.check(cfg)
        except ValueError as error:
            told = (f"{name}: {problem}" for problem in str(error).splitlines())
            self.problems += [
                problem
                for problem in told
                if _without_name(problem) not in map(_without_name, self.problems)
            ]
            return []
        key, before = run_key(cfg, fingerprint), run_key(cfg, former)
        place = f"{below}/{name}-{before[:8]}"
        if before != key and _kept_before(Path(self.out, place), fingerprint):
            return [Job(name, words, cfg, before, place, former=True)]
        rounded = with_budget_as_before(cfg)
        key_then = run_key(rounded, fingerprint)
        if key_then != key and Path(self.out, f"{below}/{name}-{key_then[:8]}").is_dir():
            return [Job(name, words, rounded, key_then, f"{below}/{name}-{key_then[:8]}")]
        return [Job(name, words, cfg, key, self._place(name, key, below))]

    def _place(self, name: str, key: str, below: str) -> str:
        """Return where a run lies: where it was begun when the axes stood in another order."""
        place = f"{below}/{name}-{key[:8]}"
        if below not in self.there:
            with suppress(OSError):
                self.there[below] = os.listdir(Path(self.out, below))
        known = self.there.get(below, ())
        alike = [
            each for each in known if each.endswith(f"-{key[:8]}") and _same_parts(each, place)
        ]
        return f"{below}/{alike[0]}" if len(alike) == 1 else place

    def choices(
        self, name: str, words: Sequence[str], space: Sequence[Tuned], *, below: str
    ) -> list[Job]:
        """Return a job for each combination of the lists in ``space``, ranges at their low ends."""
        found = []
        for point in listed(space):
            lists = dict(zip((tuned.key for tuned in space if tuned.values), point, strict=True))
            low = {tuned.key: tuned.low for tuned in space if tuned.is_range}
            at_low = [*words, *words_of(space, {**lists, **low})]
            for job in self.job(name, at_low, below=below):
                fingerprint = self.check(job.cfg)[0]
                found.append(replace(job, fingerprint=fingerprint, former=False))
        return found

    def search(self, name: str, words: Sequence[str], tuning: Tuning) -> Search | None:
        """Return a search; None after saying why there is none."""
        space = tuning.space
        choices = self.choices(name, words, space, below="tune")
        ranges = [tuned for tuned in space if tuned.is_range]
        for job in choices:
            for share in (1.0, 0.618) if ranges else ():
                numbers = {each.key: each.number(each.at(share)) for each in ranges}
                self.problems += self._follows(name, job, space, numbers)
        if not choices:
            return None
        decides = {"jobs": [job.key for job in choices], "space": [asdict(each) for each in space]}
        key = hash_of({**decides, "prune": tuning.prune})
        place = f"tune/{name}-{key[:8]}"
        return Search(
            *(name, place, list(space), choices),
            *(tuning.seed, tuning.count, tuning.flops, tuning.prune),
        )

    def _follows(
        self, name: str, job: Job, space: Sequence[Tuned], numbers: Mapping[str, float]
    ) -> list[str]:
        """List why numbers of ranges cannot be filled in later: they are refused, or more follows
        from them."""
        kept = [word for word in job.words if word.partition("=")[0] not in numbers]
        others = [tuned.word(numbers[tuned.key]) for tuned in space if tuned.is_range]
        try:
            cfg = self.compose([*kept, *others])
            cfg = baseline.instead_of_task(cfg) if baseline.is_supervised(job.cfg) else cfg
            self.check(cfg)
        except ValueError as error:
            told = [f"{name}: {problem}" for problem in str(error).splitlines()]
            hint = " (tune.values: int: true makes a range of whole numbers)"
            return [
                problem + (hint if "must be a whole number" in problem else "")
                for problem in told
                if not any(known.startswith(problem) for known in self.problems)
            ]
        if cfg == with_numbers(job.cfg, numbers):
            return []
        return [
            f"tune.values.{key}: other settings follow from it, so no number can be chosen later;"
            " list its values"
            for key in numbers
        ]

    def check(self, cfg: Mapping[str, Any]) -> tuple[str, str]:
        """Return the fingerprint of the data, and that by the rule of before.

        Before, make sure that the parts of the run fit each other and the data. ValueError where
        they do not.
        """
        from ssl_patches.config.instantiate import build
        from ssl_patches.data import build as build_data
        from ssl_patches.data.index.listing import one_look
        from ssl_patches.data.module import EndlessBatches
        from ssl_patches.training import build as build_run
        from ssl_patches.training import supervised

        for key in ("run_dir", "resume", "overwrite"):
            if cfg[key]:
                raise ValueError(
                    f"{key}: is set by the study for each of its runs; take it out (a study"
                    " continues what it finds in out=DIR)"
                )
        if not any(cfg["budget"].values()):
            raise ValueError(
                "budget: missing, runs are compared at an equal one; give budget.flops=1e13"
            )
        of_data = json.dumps([cfg["data"], cfg["image_size"]])
        if of_data not in self.sources:
            with one_look():
                self.sources[of_data] = (
                    build_data.source(cfg, "train", whole=False),
                    build_data.source(cfg, "val", whole=False),
                )
        train, val = self.sources[of_data]
        build(cfg["optimizer"])
        shape = json.dumps(
            {key: value for key, value in cfg.items() if key not in ("seed", "budget", "optimizer")}
        )
        if shape not in self.fitting:
            EndlessBatches(
                length=len(train), batch_size=cfg["data"]["batch_size"], seed=cfg["seed"]
            )
            (supervised.check_supervised if baseline.is_supervised(cfg) else build_run.components)(
                cfg
            )
            if self.design.tuning or baseline.is_supervised(cfg):
                supervised.classes_of(train)
            self.fitting.add(shape)
        prints = [train.fingerprint(), val.fingerprint()]
        return (
            " ".join(filter(None, [*prints, train.label_key(), val.label_key()])),
            f"{train.former_fingerprint()} {val.former_fingerprint()}",
        )


def _same_parts(name: str, place: str) -> bool:
    """Tell whether two names of runs have the same parts, in any order."""
    return sorted(name.split("-")) == sorted(place.rpartition("/")[2].split("-"))


def _kept_before(directory: Path, fingerprint: str) -> bool:
    """Tell whether a run lies there under the key of before, and not of other images as far as it
    knows."""
    try:
        summary = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
        now = fingerprint.split()[0]
        return "former_fingerprint" not in summary or summary["data_fingerprint"] == now
    except (OSError, ValueError, TypeError, KeyError):
        return directory.is_dir()


def _without_name(problem: str) -> str:
    return problem.partition(": ")[2]
