"""Count what is not used as an image, by the reason, and tell it in lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Images, or what may be some, that are not used as the others are, and why."""

    count: int
    what: str  # "images", "files", "hidden folders"
    example: str  # the first of them
    why: str
    fate: str = "not used"

    def __str__(self) -> str:
        some = self.example if self.count == 1 else f"{self.example}, ..."
        what = self.what.removesuffix("s") if self.count == 1 else self.what
        return f"{self.count:,} {what} ({some}) {self.fate}: {self.why}"


class Aside:
    """Counts paths by the reason for which they are not used, and knows the first of each."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], tuple[int, str]] = {}

    def add(self, path: str, why: str, what: str = "images", *, count: int = 1) -> None:
        """Count one path, or ``count`` of which it is the first."""
        before, least = self.found.get((what, why), (0, path))
        self.found[what, why] = before + count, min(least, path)

    def told(self) -> list[LeftOut]:
        """Return what was counted, one entry for each reason."""
        return [
            LeftOut(count, what, least, why) for (what, why), (count, least) in self.found.items()
        ]


def said(left: Iterable[object], *, most: int = 12) -> list[str]:
    """Return a line for each, and how many more there are beyond ``most``."""
    lines = [str(each) for each in left]
    more = [f"and {len(lines) - most} more remarks; `ssl-patches doctor` has them"]
    return lines[:most] + more * (len(lines) > most)
