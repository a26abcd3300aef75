"""Push an export to the Hugging Face hub: ``ssl-patches push EXPORT hub=USER/NAME``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ssl_patches.config.hub_names import PREFIX, hub_name
from ssl_patches.config.plain_text import Lines, in_lines
from ssl_patches.encoders.exported import CARD, README
from ssl_patches.export.parcel import Parcel, packed


def push_command(
    cfg: Mapping[str, Any], *, dry_run: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """Send the export of ``cfg["model"]`` to the hub, or with ``dry_run`` say what would be sent.

    Returns the repository, its commit (None for a dry run) and the names of the files. ValueError
    for a bad request: nothing was sent.
    """
    name = hub_name(cfg["hub"], "hub")
    parcel = packed(Path(cfg["model"]).expanduser(), name.repository, license=cfg["license"])
    found = {"hub": name.repository, "commit": None, "files": list(parcel.files)}
    if dry_run:
        return found | {"said": parcel_text(parcel, private=cfg["private"])}
    from ssl_patches.export.upload import send

    for line in remarks_on(parcel):
        say(line)
    sent = send(parcel, private=cfg["private"], overwrite=cfg["overwrite"])
    seen = "private" if sent.private else "public"
    done = f"commit {sent.commit[:12]}" if sent.new else f"nothing new since {sent.commit[:12]}"
    lines = [f"{name.word}: {done}, {seen}, {len(parcel.files)} files", *loading(name.repository)]
    return found | {"commit": sent.commit, "said": in_lines(lines)}


def loading(repository: str) -> list[str]:
    """Return the lines that load what was pushed."""
    return [
        f"load it:  timm.create_model('{PREFIX}{repository}', pretrained=True)",
        f"load it:  transformers.AutoModel.from_pretrained('{repository}')",
        f"go on:    ssl-patches pretrain encoder.pretrained={PREFIX}{repository}",
    ]


def remarks_on(parcel: Parcel) -> list[str]:
    """Say what stays at home, and that nobody may use what has no licence."""
    lines = []
    if parcel.left:
        lines.append(f"not sent, no files of an export: {', '.join(parcel.left)}")
    if parcel.withheld:
        lines.append(
            f"taken out of {CARD}, or cut to a name, as it is this machine's:"
            f" {', '.join(parcel.withheld)}"
        )
    if parcel.license is None:
        lines.append(
            "no licence is stated, so others may not use it; license=apache-2.0 states one"
        )
    return lines


def parcel_text(parcel: Parcel, *, private: bool) -> Lines:
    """Describe what would be sent, the README as it would stand there included."""
    width = max(map(len, parcel.files))
    rows = [f"  {name:{width}}  {parcel.size(name):>12,} bytes" for name in parcel.files]
    seen = "private" if private else "public"
    return in_lines(
        [
            f"dry run: {PREFIX}{parcel.repository}, {seen}, would get one commit; nothing was sent",
            "",
            *rows,
            "",
            *remarks_on(parcel),
            f"{README} as it would stand there:",
            "",
            *parcel.text(README).splitlines(),
        ]
    )
