"""Read names of the Hugging Face hub: ``hf-hub:USER/NAME``, and what of it is meant after ``@``.

Apart from asking the hub, so that a name that is none is told at once: nothing is imported here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeGuard

PREFIX = "hf-hub:"
COMMIT = re.compile(r"[0-9a-f]{40}")
PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
"""USER and NAME, by the rules of ``huggingface_hub.utils.validate_repo_id``: neither begins nor
ends with a dot or a hyphen, and there are no two of a kind in a row."""
REVISION = re.compile(r"[A-Za-z0-9_][\w./-]*")
KEY = "encoder.pretrained"


@dataclass(frozen=True)
class HubName:
    """A repository of the hub and what of it is meant: a branch, tag or commit; None: its main."""

    repository: str
    revision: str | None = None

    @property
    def word(self) -> str:
        """Return the name as it is typed."""
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @property
    def exact(self) -> bool:
        """Tell whether a commit is named: that is the same bytes for ever."""
        return COMMIT.fullmatch(self.revision or "") is not None


def is_on_hub(weights: Any) -> TypeGuard[str]:
    """Tell whether a word names a repository of the hub: it begins with ``hf-hub:``."""
    return isinstance(weights, str) and weights.startswith(PREFIX)


def hub_name(word: str, key: str = KEY) -> HubName:
    """Read ``hf-hub:USER/NAME[@REVISION]``; ``hf-hub:`` may be left out.

    ValueError, naming ``key``, where it is no such name.
    """
    repository, sign, revision = word.removeprefix(PREFIX).partition("@")
    parts = repository.split("/")
    fits = len(parts) == 2 and all(map(PART.fullmatch, parts))
    if not fits or re.search(r"--|\.\.|\.git$", repository):
        begin = "" if key == "hub" else PREFIX
        raise ValueError(
            f"{key}={word}: must be USER/NAME of the hub, of letters, digits, '-', '_' and '.';"
            f" give {key}={begin}USER/NAME"
        )
    if sign and not REVISION.fullmatch(revision):
        raise ValueError(
            f"{key}={word}: must have a branch, tag or commit after '@'; take '@{revision}' out, or"
            " name one"
        )
    return HubName(repository, revision or None)
