"""Turn what Hydra refuses into one line as all others: key, value, rule, remedy.

Hydra says what is wrong in English sentences only; they are recognised here and nowhere else. A
sentence that is not known is passed on as it is, so a new wording costs a remedy and no more. The
pin of hydra-core in pyproject.toml ends below the next minor release, and
tests/config/test_hydra_refusals.py makes Hydra say each of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config.files import chosen_by_default
from ssl_patches.config.messages import nearest


def refusal(
    error: Exception,
    *,
    command: str,
    primary: Mapping[str, Any],
    tops: Collection[str],
    folders: Sequence[Path],
) -> str:
    """Return the refusal in one line.

    ``primary``: the command's own YAML, not composed; ``tops``: the keys there are at the top;
    ``folders``: where YAML is looked for.
    """
    text, names = str(error), sorted({*chosen_by_default(primary)})
    if found := re.match(r"Could not override '([^']+)'\.\s*No match in the defaults list", text):
        return (
            f"{found[1]}: {command} takes no {found[1]}=; take it out (it takes:"
            f" {', '.join(names)})"
        )
    if found := re.match(r"Could not delete from config\. '([^']+)' does not exist", text):
        return f"~{found[1]}: there is none to leave out; {nearest(found[1], tops)}"
    if found := re.match(r"In '([^']+)': Could not override '(\w+)@\w+\.\2'", text):
        return (
            f"{found[1]}.yaml: cannot override /{found[2]}; write 'override"
            f" /{found[2]}@_global_.{found[2]}: NAME'"
        )
    if missing := getattr(error, "missing_cfg_file", None):  # hydra's MissingConfigException
        group, _, name = str(missing).rpartition("/")
        line = re.compile(rf"\b{re.escape(group)}\b[^:\n]*:\s*{re.escape(name)}\b")
        files = [file for folder in folders for file in folder.rglob("*.yaml")]
        where = ", ".join(
            str(file) for file in files if line.search(file.read_text(encoding="utf-8"))
        )
        hint = nearest(name, getattr(error, "options", None) or ())
        return f"{missing}: no such file in conf/, named in {where or 'a defaults list'}; {hint}"
    lines = [line.strip() for line in text.splitlines() if line.strip() and "https://" not in line]
    return " ".join(line for line in lines if not line.startswith("To append"))


def without_refused(overrides: Sequence[str], error: Exception) -> list[str]:
    """Return the overrides whose keys the refusal does not name (it puts them in quotes)."""
    refused = {_key(word) for word in re.findall(r"'([^']+)'", str(error))}
    return [text for text in overrides if _key(text) not in refused]


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
