"""Find the YAML files of a configuration in folders: ours, the user's own, those of installed
packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_patches.config.messages import BadRequest
from ssl_patches.config.renamed import current

ENTRY_POINTS = "ssl_patches.conf"
"""Group in which an installed package names its folder of YAML: ``acme = "acme.conf"``."""
LISTED = {"probe": "probes"}
"""Groups whose files are named in a list (``probes=[knn,linear]``), not by ``GROUP=NAME``."""


def conf_dir() -> Path:
    """Return the wheel's copy of conf/, or the checkout's own; FileNotFoundError without either."""
    here = Path(__file__).resolve().parents[1]
    for place in (here / "conf", here.parent / "conf"):
        if (place / "pretrain.yaml").is_file():
            return place
    raise FileNotFoundError(
        f"no conf/pretrain.yaml in or beside {here}: the installation is incomplete; reinstall"
    )


def folders_of(config_dirs: Sequence[Path | str] = ()) -> list[Path]:
    """Return the folders where YAML is looked for; the first match wins.

    The user's own, ours, those of installed packages. BadRequest for one that is not there.
    """
    own = [Path(place).resolve() for place in config_dirs]
    if lost := [place for place in own if not place.is_dir()]:
        raise BadRequest(
            [
                f"--config-dir {place}: no such folder; give one that holds task/NAME.yaml"
                for place in lost
            ]
        )
    return [*own, conf_dir(), *(folder for plugin in plugins() for folder in plugin.folders)]


@dataclass(frozen=True)
class Plugin:
    """An installed package that brings YAML, and with it classes that may be built."""

    distribution: str  # name and version, as pip lists it
    package: str  # that is imported
    folders: tuple[Path, ...]


def plugins() -> list[Plugin]:
    """Return the installed packages that bring YAML, by the names of their entry points.

    BadRequest for one whose folder is not there.
    """
    found = []
    for entry in sorted(
        importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name
    ):
        name = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.name
        top, *rest = entry.value.split(".")
        spec = importlib.util.find_spec(top)  # of the top package only: that imports nothing
        places = [Path(place, *rest) for place in (spec and spec.submodule_search_locations) or ()]
        folders = tuple(place for place in places if place.is_dir())
        if not folders:
            raise BadRequest(
                [
                    f"{name}: names {entry.value} in its entry points and there is no such folder;"
                    " reinstall it"
                ]
            )
        found.append(Plugin(name, top, folders))
    return found


def groups_in(folders: Sequence[Path]) -> set[str]:
    """Return the names of the groups: the folders in ``folders`` that hold YAML."""
    inner = {
        place
        for folder in folders
        for place in folder.iterdir()
        if place.is_dir() and place.name != "hydra"
    }
    return {place.name for place in inner if any(place.glob("*.yaml"))} - LISTED.keys()


def names_in(folders: Sequence[Path], group: str = "") -> list[str]:
    """Return the names that a group offers, sorted; those of commands without a group."""
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def options(group: str, *, config_dirs: Sequence[Path | str] = ()) -> list[str]:
    """Return the names that ``GROUP=`` takes.

    Those of ``config_dirs`` and of installed packages are among them.
    """
    return names_in(folders_of(config_dirs), group)


def with_comments(group: str, *, config_dirs: Sequence[Path | str] = ()) -> list[tuple[str, str]]:
    """Return the names of ``options``, each with the comment that its file begins with, or "".

    Packages' own directives (``# @package``) are no comment.
    """
    folders = folders_of(config_dirs)
    found: list[tuple[str, str]] = []
    for name in names_in(folders, group):
        file = next(
            file for folder in folders if (file := folder / group / f"{name}.yaml").is_file()
        )
        lines = [
            line
            for line in file.read_text(encoding="utf-8").splitlines()
            if not line.startswith("# @package")
        ]
        found.append(
            (name, lines[0].lstrip("# ").strip() if lines and lines[0].startswith("#") else "")
        )
    return found


def origins(group: str, *, config_dirs: Sequence[Path | str] = ()) -> dict[str, str]:
    """Return name -> where it comes from, for names that are not ours, and whose it hides where
    several have it."""
    installed = {folder: plugin.distribution for plugin in plugins() for folder in plugin.folders}
    folders, ours = folders_of(config_dirs), conf_dir()
    found: dict[str, str] = {}
    for name in names_in(folders, group):
        first, *hidden = [
            folder for folder in folders if (folder / group / f"{name}.yaml").is_file()
        ]
        told = [
            "" if folder == ours else installed.get(folder, str(folder))
            for folder in (first, *hidden)
        ]
        if hidden or told[0]:
            hides = (
                f", hides that of {' and '.join(name or 'ssl-patches' for name in told[1:])}"
                if hidden
                else ""
            )
            found[name] = (told[0] or "ssl-patches") + hides
    return found


def read_yaml(folders: Sequence[Path], name: str) -> dict[str, Any]:
    """Read one YAML as it stands, not composed.

    Empty where there is none or it cannot be read: Hydra says so when it composes.
    """
    import yaml

    for folder in folders:
        if (file := folder / f"{name}.yaml").is_file():
            try:
                found = yaml.safe_load(file.read_text(encoding="utf-8"))
            except yaml.YAMLError:
                break
            return found if isinstance(found, dict) else {}
    return {}


def chosen_by_default(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return group -> chosen name, from a command's defaults list."""
    lines = [line for line in tree.get("defaults") or [] if isinstance(line, dict)]
    return {
        str(group).removeprefix("optional ").strip(): name
        for line in lines
        for group, name in line.items()
    }


def trusted(*groups: str, config_dirs: Sequence[Path | str] = ()) -> tuple[str, ...]:
    """Return the ``_target_``s that a configuration found in somebody's folder may have.

    These are the ones that the YAML files of ``groups`` have: ours, those of installed packages
    (``plugins``), those of ``config_dirs``. The user chose all three; the folder did not.
    """
    folders = folders_of(config_dirs)
    nodes = (
        read_yaml([folder], f"{group}/{name}")
        for group in groups
        for folder in folders
        for name in names_in([folder], group)
    )
    return tuple(dict.fromkeys(current(name) for node in nodes for name in _targets(node)))


def trusted_everywhere(*, config_dirs: Sequence[Path | str] = ()) -> tuple[str, ...]:
    """Return what ``trusted`` gives for all groups together: what a study of somebody may name."""
    return trusted(*groups_in(folders_of(config_dirs)), *LISTED, config_dirs=config_dirs)


def _targets(node: Any) -> Iterator[str]:
    """Yield the dotted paths that a node names, inner nodes too."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_" and isinstance(value, str) and "." in value.strip("."):
                yield value
            else:
                yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)
