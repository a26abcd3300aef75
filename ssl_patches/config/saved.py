"""The configuration of a run on disk: plain YAML, written whole or not at all, read without running
code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_patches.config.messages import BadRequest
from ssl_patches.config.renamed import with_current_names


def save(cfg: Mapping[str, Any], path: Path | str) -> None:
    """Write plain containers as YAML; a reader sees the old file or the new one. Raises TypeError
    for live objects."""
    from omegaconf import OmegaConf

    json.dumps(cfg)  # only what can be read back without running code
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text(OmegaConf.to_yaml(OmegaConf.create(dict(cfg))), encoding="utf-8")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def load(path: Path | str) -> dict[str, Any]:
    """What ``save`` wrote, with the paths of today. Raises BadRequest when it is not there or not
    readable."""
    import yaml
    from omegaconf import OmegaConf

    try:
        found = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except FileNotFoundError:
        raise BadRequest(
            [f"{path}: no such file; give a run directory that holds config.yaml"]
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise BadRequest(
            [f"{path}: cannot be read as YAML: {' '.join(str(error).split())}; restore the file"]
        ) from error
    if not isinstance(found, dict):
        raise BadRequest([f"{path}: must hold KEY: VALUE lines; restore the file"])
    return with_current_names(found)
