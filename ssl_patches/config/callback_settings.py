"""Say what becomes of settings of callbacks that are not there.

A recipe may set ``callbacks.previews.among``, and whoever uses it may type ``callbacks=none``: then
the setting falls away with the callback. Where others are there, a name may be wrong, which is
said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_patches.config.messages import BadRequest, nearest

GROUP = "callbacks"


def without_absent(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``found`` without settings of callbacks where there is no callback at all.

    BadRequest for settings of one that is not there where there are others.
    """
    nodes = found.get(GROUP)
    if not isinstance(nodes, Mapping):
        return dict(found)
    absent = [
        name for name, node in nodes.items() if isinstance(node, Mapping) and "_target_" not in node
    ]
    there = [name for name in nodes if name not in absent]
    if absent and there:
        raise BadRequest(
            [
                f"{GROUP}.{name}: has no _target_, so it is a setting of a callback that is not"
                f" there; {nearest(name, there)}"
                for name in absent
            ]
        )
    return {**found, GROUP: {} if absent else nodes}
