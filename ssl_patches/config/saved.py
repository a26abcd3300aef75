"""Save the configuration of a run as plain YAML, written whole or not at all; load it without
running code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_patches.config.atomic import write_text
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.outside import read_plain_yaml
from ssl_patches.config.renamed import with_current_names


def save(cfg: Mapping[str, Any], path: Path | str) -> None:
    """Write plain containers as YAML, whole or not at all. Raises TypeError for live objects."""
    from omegaconf import OmegaConf

    json.dumps(cfg)  # only what can be read back without running code
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(dict(cfg))))


def load(path: Path | str, *, aliases: bool = False) -> dict[str, Any]:
    """Read what ``save`` wrote; ``_target_``s of before the move become those of today.

    ``aliases``: may YAML refer to other parts of itself? Only where the user wrote it.
    Raises BadRequest when the file is not there or not readable.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        found = OmegaConf.to_container(
            OmegaConf.create(read_plain_yaml(path, aliases=aliases)), resolve=False
        )
    except FileNotFoundError:
        raise BadRequest(
            [f"{path}: no such file; give a run directory that holds config.yaml"]
        ) from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, OSError) as error:
        raise BadRequest(
            [f"{path}: cannot be read as YAML: {' '.join(str(error).split())}; restore the file"]
        ) from error
    if not isinstance(found, dict):
        raise BadRequest([f"{path}: must hold KEY: VALUE lines; restore the file"])
    return with_current_names(found)
