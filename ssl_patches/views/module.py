"""Say what a module that makes views tells of itself before it has made one."""

from __future__ import annotations

from torch import nn


class ViewModule(nn.Module):
    """A module that turns stored images into views; one view of each image unless it says more.

    A view module of your own need not derive from it while it gives one view.
    """

    crops: int = 1
    """Views of each image in a step, small ones included."""

    small_size: int | None = None
    """Side of small crops in pixels, where they have one of their own; None: all have one side."""

    near: float | None = None
    """How far the views of an image lie from its first one, as a share of that one's side; None:
    anywhere."""


def crops_of(views: nn.Module) -> int:
    """Count the views of each image that a view module makes in a step."""
    return views.crops if isinstance(views, ViewModule) else 1


def small_size_of(views: nn.Module) -> int | None:
    """Return the side of its small crops in pixels; None where all have one side."""
    return views.small_size if isinstance(views, ViewModule) else None


def overlapping(views: nn.Module) -> bool:
    """Tell whether the views of an image are crops that lie close to each other."""
    return isinstance(views, ViewModule) and views.near is not None
