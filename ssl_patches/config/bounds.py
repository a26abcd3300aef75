"""Refuse numbers of a group of settings that lie outside their bounds."""

from __future__ import annotations

from collections.abc import Iterable


def check_bounds(group: str, settings: Iterable[tuple[str, float, float, float, float]]) -> None:
    """Check settings (key, value, least, most, a good value). ValueError for one out of bounds."""
    for key, value, least, most, good in settings:
        if not least <= value <= most:
            raise ValueError(
                f"{group}.{key}={value}: must be {least:.10g} to {most:.10g}; set"
                f" {group}.{key}={good:.10g}"
            )
