"""Bytes of living tensors are those that are alive, forward and backward."""

from __future__ import annotations

import torch

from ssl_patches.training.live_tensors import LiveTensorMode


def test_breaks_when_torch_renames_the_dispatch_mode() -> None:
    """``torch.utils._python_dispatch`` is private; without it memory cannot be estimated."""
    with LiveTensorMode() as alive:
        torch.ones(3)
    assert alive.course == [0, 12]


def test_what_is_freed_is_no_longer_counted_and_a_view_is_nothing_new() -> None:
    given = torch.ones(10)
    with LiveTensorMode() as alive:
        first = given * 2
        assert alive.now == 40
        view = first.view(2, 5)
        assert alive.now == 40
        second = first + 1
        assert alive.now == 80
        del first
        assert alive.now == 80, "the view holds it"
        del view
        assert alive.now == 40
    assert second.sum() == 30
    assert alive.course == [0, 40, 80]


def test_what_was_there_before_is_not_counted_though_it_is_returned() -> None:
    given = torch.ones(10)
    with LiveTensorMode() as alive:
        given.add_(1)
    assert alive.now == 0


def test_a_step_ends_with_its_gradients() -> None:
    weight = torch.ones(100, requires_grad=True)
    with LiveTensorMode() as alive:
        (weight * torch.ones(100)).square().sum().backward()
    assert alive.now == weight.grad.nbytes
    assert max(alive.course) > alive.now
