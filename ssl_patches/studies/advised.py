"""Choose for the images of a sweep what a single ``pretrain`` would choose for them.

``pretrain -m task=jigsaw,agree data=folder data.root=DIR`` is then the same runs as ``pretrain``
typed for each. A study.yaml is a recipe of its own, to which nothing is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ssl_patches.config.messages import Say
from ssl_patches.config.plain_text import Lines, in_lines
from ssl_patches.training.request import choices_for, images_of

if TYPE_CHECKING:
    from ssl_patches.data.advice import Facts


class Advice:
    """What is chosen for the runs of a sweep. Each folder is looked at once."""

    def __init__(self) -> None:
        self._facts: dict[tuple[Any, ...], Facts | None] = {}
        self._said: dict[Lines, list[str]] = {}  # lines -> names of the runs

    def words(self, name: str, words: Sequence[str], cfg: Mapping[str, Any]) -> list[str]:
        """Return what is chosen for a run of ``words``, in words that go before these."""
        if (looked := images_of(cfg)) is None:
            return []
        key = (looked.root, looked.channels, looked.split_folders)
        if key not in self._facts:
            self._facts[key] = looked.facts()
        choices = choices_for(self._facts[key], words)
        if choices:
            from ssl_patches.data.advice import lines_of  # which loads the readers of images

            self._said.setdefault(in_lines(lines_of(choices)), []).append(name)
        return [choice.word for choice in choices]

    def tell(self, say: Say) -> None:
        """Say what was chosen, once for all runs that have the same."""
        for lines, names in self._said.items():
            which = (
                "these images" if len(self._said) == 1 else f"{', '.join(names)} on these images"
            )
            say(in_lines([f"chosen for {which} (type KEY=VALUE for another):", lines]))
