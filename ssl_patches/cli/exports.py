"""Run the commands about exports: write one, prove it again, push it to the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_patches.cli.typed import Typed, told_aside
from ssl_patches.config.hub_names import hub_name
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.plain_text import in_lines, tell


def run_export(request: Typed) -> int:
    """Write the encoder of a run in formats that need no ssl_patches: ``ssl-patches export``."""
    from ssl_patches import config

    words, changes = config.without_data_keys(request.words)
    from ssl_patches.export.command import export_command, export_request

    cfg = export_request(words)

    found = export_command(cfg, say=told_aside, changes=changes, config_dirs=request.config_dirs)
    if "--json" in request.flags:
        tell(json.dumps(found))
    return 0


def run_verify(request: Typed) -> int:
    """Prove an export again: ``ssl-patches verify``. BadRequest unless one folder is named."""
    if len(request.words) != 1:
        raise BadRequest(
            [f"verify {' '.join(request.words)}: takes one folder; give ssl-patches verify DIR"]
        )
    from dataclasses import asdict

    from ssl_patches.export import verify

    folder = Path(request.words[0].removeprefix("model="))
    proof = verify(folder)
    if "--json" in request.flags:
        tell(json.dumps({"export": str(folder), **asdict(proof)}))
    else:
        tell(
            in_lines(
                [
                    (
                        f"{folder}: files unchanged; loaded in processes that cannot import"
                        " ssl_patches"
                    ),
                    *proof.lines(),
                ]
            )
        )
    return 0


def run_push(request: Typed) -> int:
    """Send an export to the Hugging Face hub: ``ssl-patches push``."""
    cfg = _push_request(request.words)
    from ssl_patches.export.push import push_command

    found = push_command(cfg, dry_run="--dry-run" in request.flags, say=told_aside)
    said = found.pop("said")
    tell(json.dumps(found) if "--json" in request.flags else said)
    return 0


def _push_request(words: Sequence[str]) -> dict[str, Any]:
    """Compose and check ``conf/push.yaml``; a word without ``=`` names the export. BadRequest."""
    from ssl_patches import config
    from ssl_patches.config.schema import PUSH
    from ssl_patches.config.words import words_of_keys

    plain = [word for word in words if "=" not in word]
    keys = [word for word in words if "=" in word]
    if len(plain) > 1:
        raise BadRequest(
            [f"push {' '.join(plain)}: takes one folder; give push EXPORT hub=USER/NAME"]
        )
    named = words_of_keys({"model": plain[0]}, None) if plain else []
    cfg = config.request("push", [*named, *keys], schema=PUSH)
    if revision := hub_name(cfg["hub"], "hub").revision:
        raise BadRequest([f"hub={cfg['hub']}: a push makes a commit; leave @{revision} out"])
    return cfg
