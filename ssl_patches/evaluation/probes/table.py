"""Find probes by their names: a YAML file in conf/probe, ours, a package's or the user's.

A probe from a ``--config-dir`` is stored with the settings (key ``probe``), so that a run knows it
later; those of this package and of installed ones are found by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssl_patches.config.files import folders_of, names_in, read_yaml
from ssl_patches.config.instantiate import build
from ssl_patches.config.messages import nearest
from ssl_patches.evaluation.probes.base import Probe

DEFAULT = ("knn", "linear")
GROUP = "probe"
ELSEWHERE = {"roles": "experiments/patch_roles"}
"""Probes that are packages of their own in this repository -> where they lie."""


def probe_names() -> list[str]:
    """Return the names of all probes that are installed, sorted."""
    return names_in(folders_of(), GROUP)


def probes_named(
    names: Iterable[str], own: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Probe]:
    """Build probes by name. ``own``: settings with a ``_target_`` of those that are not installed.

    ValueError for a name that is not there, and for what is no probe.
    """
    own, folders, found = own or {}, folders_of(), {}
    for name in names:
        node = own.get(name) or read_yaml(folders, f"{GROUP}/{name}")
        if "_target_" not in node:
            raise ValueError(f"probes=[{name}]: conf/{GROUP}/{name}.yaml has no _target_; name one")
        probe = build(node)
        if not isinstance(probe, Probe):
            raise ValueError(
                f"probes=[{name}]: {node['_target_']} is no Probe; derive it from"
                " ssl_patches.evaluation.Probe"
            )
        found[name] = probe
    return found


def check_names(names: Sequence[str], key: str = "probes", own: Iterable[str] = ()) -> None:
    """Refuse none, an unknown one, and one named twice, by ValueError."""
    if not names:
        raise ValueError(f"{key}=[]: must name at least one; set {key}=[{','.join(DEFAULT)}]")
    known = [*probe_names(), *own]
    for name in names:
        if name not in known:
            remedy = (
                f"it is a package of its own: pip install {ELSEWHERE[name]}"
                if name in ELSEWHERE
                else nearest(name, known)
            )
            raise ValueError(f"{key}=[{name}]: no such probe; {remedy}")
    if len(set(names)) < len(names):
        raise ValueError(f"{key}=[{','.join(names)}]: one is named twice; name each once")


def check_probes(settings: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse, by ValueError, what would only be found out after training."""
    for key in ("train_images", "test_images", "batch_size"):
        if settings[key] is not None and settings[key] < 1:
            raise ValueError(
                f"{prefix}{key}={settings[key]}: must be at least 1; set {prefix}{key}=256"
            )
    own = settings.get(GROUP) or {}
    check_names(settings["probes"], f"{prefix}probes", own)
    probes_named(settings["probes"], own)


def own_numbers(probes: Mapping[str, Probe]) -> dict[str, Any]:
    """Return the numbers of the probes that the protocol does not hold, by probe."""
    return {name: dict(probe.protocol) for name, probe in probes.items() if probe.protocol}
