"""python experiments/is_it_working/edges.py RUN [...] -> does the accuracy of a where-task rest on
the edges of its tiles?

The question is asked again with pixels of each tile replaced by those of a tile of another image:
the outermost ring, or as many in the middle. A network that follows lines across borders loses its
answer with the ring alone. The ring of another image, and not a flat one: flat edges are seen
nowhere in training, and what is strange to a network costs accuracy whatever it looks at.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_patches import config
from ssl_patches.config.run_dir import LAST
from ssl_patches.training import prepare
from ssl_patches.training.callbacks import eval_copy
from ssl_patches.types import PatchBatch

IMAGES = 2048
WIDTHS = (1, 2)  # px of the ring


def ring(side: int, width: int) -> Tensor:
    """(side, side) bool: the outermost ``width`` pixels."""
    found = torch.ones(side, side, dtype=torch.bool)
    found[width:-width, width:-width] = False
    return found


def middle(side: int, count: int) -> Tensor:
    """(side, side) bool: a square in the middle of about ``count`` pixels."""
    found, edge = torch.zeros(side, side, dtype=torch.bool), round(count**0.5)
    start = (side - edge) // 2
    found[start : start + edge, start : start + edge] = True
    return found


class Exchanged(nn.Module):
    """A sampler, but the pixels of ``mask`` (h, w) come from the same tile of the next image of the
    batch."""

    def __init__(self, sampler: nn.Module, mask: Tensor) -> None:
        super().__init__()
        self.sampler, self.mask = sampler, mask

    def forward(self, images: Tensor) -> PatchBatch:
        patches = self.sampler(images)
        return replace(
            patches, tiles=torch.where(self.mask, patches.tiles.roll(1, 0), patches.tiles)
        )


def accuracies(run_dir: Path) -> dict[str, float]:
    """What is exchanged -> accuracy on held-out images, for a run of one task."""
    made = prepare.prepare(config.load(run_dir / "config.yaml"))
    state = torch.load(run_dir / LAST, weights_only=True, map_location="cpu")["state_dict"]
    made.module.load_state_dict(state, strict=True)
    images = eval_copy.first_images(made.data.val, IMAGES).images
    with eval_copy.eval_copy(made.module) as module:
        (name, sampler), *_ = module.samplers.items()
        side = sampler.grid.tile
        masks = {"nothing": torch.zeros(side, side, dtype=torch.bool)}
        for width in WIDTHS:
            outer = ring(side, width)
            masks |= {
                f"ring of {width} px": outer,
                f"{int(outer.sum())} px in the middle": middle(side, int(outer.sum())),
            }
        found = {}
        for what, mask in masks.items():
            module.samplers[name] = Exchanged(sampler, mask)
            found[what] = eval_copy.mean_metrics(module, images, seed=0)["accuracy"]
    return found


def main(runs: list[Path]) -> None:
    found = {path.name: accuracies(path) for path in runs}
    whats = list(next(iter(found.values())))
    print(f"| run | {' | '.join(whats)} |", f"|{' --- |' * (len(whats) + 1)}", sep="\n")
    for name, values in found.items():
        print(f"| {name} | {' | '.join(f'{values[what]:.3f}' for what in whats)} |")


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]])
