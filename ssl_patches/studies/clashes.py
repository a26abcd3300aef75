"""Find what cannot be meant in a study: axes without values, keys that are set twice."""

from __future__ import annotations

from collections.abc import Mapping

from ssl_patches.config.messages import shown
from ssl_patches.studies.records import Design, Tuning


def clashes(design: Design) -> list[str]:
    """List what cannot be meant: an axis without values or one twice, a key set twice."""
    problems, set_by = [], {_key(word): "base" for word in design.base}
    for key, values in design.axes.items():
        labels = [value.label for value in values]
        if not values:
            problems.append(f"axes.{key}: is empty; give it a value, or take it out")
        problems += [
            f"axes.{key}: {label} stands there twice"
            for label in sorted({x for x in labels if labels.count(x) > 1})
        ]
        for word in sorted({_key(word) for value in values for word in value.words}):
            if word in set_by:
                problems.append(
                    f"axes.{key}: {word} is set by {set_by[word]} too; take one of them out"
                )
            set_by[word] = f"axes.{key}"
    if design.budget and (twice := sorted(key for key in set_by if key.startswith("budget."))):
        problems.append(
            f"budget.{design.budget[0]}: {twice[0]} is set by {set_by[twice[0]]} too; take one of"
            " them out"
        )
    return problems + (_clashes_of_tuning(design, design.tuning, set_by) if design.tuning else [])


def _clashes_of_tuning(design: Design, tuning: Tuning, set_by: Mapping[str, str]) -> list[str]:
    problems = []
    keys = {_key(word) for trial in tuning.trials for word in trial.words}
    keys |= {tuned.key for tuned in tuning.space}
    for key in sorted(keys & {*set_by}):
        problems.append(f"tune.values.{key}: is set by {set_by[key]} too; take one of them out")
    if not keys:
        problems.append(
            "tune.values: is empty; give values, such as optimizer.base_lr: [1e-3, 2e-3]"
        )
    if not 0 < tuning.share <= 1:
        problems.append(
            f"tune.share={tuning.share}: must be above 0 and at most 1; give share: 0.2"
        )
    if design.budget and design.budget[0] == "flops" and tuning.flops is not None:
        one = tuning.share * design.budget[1]
        if tuning.flops < one:
            problems.append(
                f"tune.flops={shown(tuning.flops)}: is less than one trial takes (share x budget ="
                f" {one:g}); give tune.flops: {8 * one:g}"
            )
    if design.budget is None:
        problems.append("tune.share: is a share of budget, which is missing; give budget: 1e13")
    if f"seed={tuning.seed}" in {
        word for value in design.axes.get("seed", ()) for word in value.words
    }:
        problems.append(
            f"tune.seed={tuning.seed}: is a seed of the study, which would favour it; give another"
        )
    return problems


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]
