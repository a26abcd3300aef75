"""Draw pictures to judge by: a task at work, features, the health of a run."""

from ssl_patches.training.figures.features import draw_neighbours, draw_patches
from ssl_patches.training.figures.health import draw_health
from ssl_patches.training.figures.task import draw_task, lay_out
from ssl_patches.training.figures.tiles import draw_tiles

__all__ = ["draw_health", "draw_neighbours", "draw_patches", "draw_task", "draw_tiles", "lay_out"]
