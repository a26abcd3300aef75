"""The roles of patches as a probe of ``ssl_patches``: ``probes=[roles]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from patch_roles import figures
from patch_roles.look import Look
from patch_roles.objects import attention_maps
from patch_roles.protocol import NUMBERS
from patch_roles.roles import evaluate_roles, shown
from ssl_patches.data.masks import WithMasks
from ssl_patches.evaluation import EvalData, Probe, ProbeInputs, Row
from ssl_patches.evaluation.features.extract import frozen

PICTURES = 5


class Roles(Probe):
    """Measure what patches are to an encoder: tiles, sizes, invariance, attention, relations."""

    wants = "images"
    cuts = True
    protocol = NUMBERS

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return all rows that the images and the encoder allow, see ``roles``."""
        return evaluate_roles(
            inputs.network(), inputs.images(), model=inputs.model, data=inputs.data
        )

    def draw(
        self, folder: Path, rows: Sequence[Row], encoder: nn.Module, eval_data: EvalData
    ) -> list[Path]:
        """Draw a figure for each role that has rows."""
        metrics = {row.metric for row in rows}
        drawn = []
        for name, first, draw in (
            ("tiles", "tiles1_", figures.draw_tiles),
            ("sizes", "input", figures.draw_sizes),
            ("invariance", "cosine_", figures.draw_invariance),
        ):
            if any(metric.startswith(first) for metric in metrics):
                drawn.append(folder / f"{name}.png")
                draw(drawn[-1], rows)
        if "attention_on_objects" in metrics:
            drawn.append(folder / "attention.png")
            _draw_attention(drawn[-1], encoder, eval_data)
        return drawn


def _draw_attention(path: Path, encoder: nn.Module, eval_data: EvalData) -> None:
    source = WithMasks((eval_data.large or (eval_data.train, eval_data.test))[1])
    seen = shown(source, limit=4 * PICTURES)
    inside = torch.isin(seen.labels, torch.tensor(source.objects, dtype=seen.labels.dtype))
    some = inside.any((1, 2))
    images, inside = seen.images[some][:PICTURES], inside[some][:PICTURES]
    with frozen(encoder, eval_data.device) as net:
        look = Look(
            net,
            eval_data.image_size,
            eval_data.mean,
            eval_data.std,
            eval_data.device,
            eval_data.precision,
        )
        figures.draw_attention(
            path, images=images, attention=attention_maps(look, images), objects=inside
        )
