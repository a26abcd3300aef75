"""Hold tasks and encoders to contracts; each contract is a function of a pair of them.

A contract returns nothing when it holds and raises AssertionError with what was found, what is
allowed and where to look. The quantities they judge by are functions of their own. Differences are
relative to the largest feature. Draws come from a seed; the caller's generator is left as it is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ssl_patches.encoders import Encoder
from ssl_patches.encoders.build import seeded
from ssl_patches.testing.pairs import Pair
from ssl_patches.types import PatchBatch, accuracies, chance_name, take

EXACT = 1e-5
STEPS = 8  # of training on a batch, after which the loss must have fallen
FALL = 0.02


def order_difference(encoder: Encoder, patches: PatchBatch) -> float:
    """Measure the largest change of a blind tile's feature when tiles come in another order."""
    order = _order(patches)
    with torch.no_grad():
        straight, shuffled = (
            encoder.eval()(p).tiles for p in (patches.blind(), patches.blind().select(order))
        )
    return _relative(take(straight, order), shuffled)


def export_difference(encoder: Encoder, exported: nn.Module, images: Tensor) -> float:
    """Measure the largest difference of ``encoder.features`` and the exported model.

    ``images`` (B, C, H, W) normalised.
    """
    with torch.no_grad():
        found, expected = encoder.eval().features(images)[-1].pooled, exported.eval()(images)
    return _relative(expected, found)


def untrained(pair: Pair, steps: int = 1) -> list[str]:
    """List the exported parameters whose gradient is zero or missing after ``steps`` of training.

    ResNets begin with blocks that do nothing.
    """
    pair.train(steps)
    pair.encoder.zero_grad()
    pair.output(seed=1).loss.backward()
    exported = set(pair.encoder.export(pair.size).state_dict())
    return [
        name
        for name, parameter in pair.encoder.model.named_parameters()
        if name in exported
        and name != "pos_embed"
        and (parameter.grad is None or not parameter.grad.abs().max() > 0)
    ]


@seeded(0)
def blind_tiles_carry_no_order(pair: Pair) -> None:
    """Check that a tile without its place gives the same feature in any order of tiles."""
    pair.train(1)  # a block of a fresh ResNet passes its input through
    patches, net = pair.sampler(pair.images), pair.encoder
    found, order = order_difference(net, patches), _order(patches)
    _hold(
        found < EXACT,
        f"forward: features of blind tiles change by {found:.1e} with the order in which tiles"
        " come",
        _ORDER,
    )
    with torch.no_grad():
        straight, shuffled = (
            net.alone(p).tiles for p in (patches.blind(), patches.blind().select(order))
        )
    found = _relative(take(straight, order), shuffled)
    _hold(
        found < EXACT,
        f"alone: features of tiles change by {found:.1e} with the order in which tiles come",
        _ORDER,
    )


_ORDER = (
    "allowed are 1e-5; a slot number, a position table or a box is used although placed is False"
)


@seeded(0)
def placed_tiles_differ_by_place_but_not_by_slot(pair: Pair) -> None:
    """Check that a placed tile's feature depends on its box, not on its slot."""
    pair.train(1)
    patches, net = pair.sampler(pair.images), pair.encoder.eval()
    order = _order(patches)
    with torch.no_grad():
        straight, shuffled = net(patches).tiles, net(patches.select(order)).tiles
        elsewhere = replace(patches, boxes=patches.boxes.flip(1), complete=False)
        moved = net(elsewhere).tiles
    found = _relative(take(straight, order), shuffled)
    _hold(
        found < EXACT,
        f"features of placed tiles change by {found:.1e} with the order in which tiles come",
        _SLOT,
    )
    found = _relative(straight, moved)
    _hold(
        found > 1e-3,
        f"features of placed tiles change by only {found:.1e} when every tile is placed elsewhere",
        _PLACE,
    )


_SLOT = "allowed are 1e-5; where a tile lies is told by its box, not by its slot"
_PLACE = "boxes of placed tiles must matter"


@seeded(0)
def features_equal_the_export(pair: Pair) -> None:
    """Check that the encoder's features are those of the model that it exports."""
    pair.train(2)
    exported, images = pair.encoder.export(pair.size), torch.randn(4, *pair.images.shape[1:])
    found = export_difference(pair.encoder, exported, images)
    _hold(
        found < EXACT,
        f"features() and the exported model differ by {found:.1e}",
        "allowed are 1e-5; export what computes",
    )


@seeded(0)
def every_exported_parameter_is_trained(pair: Pair) -> None:
    """Check that the loss reaches every parameter that is exported."""
    names = untrained(pair)
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    _hold(
        not names,
        f"exported parameters without a gradient: {some}",
        "a part of the encoder would be exported untrained",
    )


@seeded(0)
def the_loss_falls(pair: Pair) -> None:
    """Check that some steps on one batch make the loss fall."""
    losses = pair.train(STEPS)
    said = f"the loss went from {losses[0]:.4g} to {losses[-1]:.4g} in {STEPS} steps on one batch"
    _hold(all(torch.isfinite(torch.tensor(losses))), said, "it must stay finite")
    _hold(losses[-1] < losses[0] - FALL * abs(losses[0]), said, f"it must fall by {FALL:.0%}")


@seeded(0)
def draws_follow_torchs_seed(pair: Pair) -> None:
    """Check that every draw of a step comes from torch's seeded generator.

    So a resumed run repeats the unbroken one.
    """
    first, again = pair.output(seed=5).loss.detach(), pair.output(seed=5).loss.detach()
    said = f"the same seed gave the losses {float(first):.6g} and {float(again):.6g}"
    _hold(
        torch.equal(first, again),
        said,
        "draw with torch's own functions, keep no state between steps",
    )


@seeded(0)
def metrics_are_detached_scalars_beside_chance(pair: Pair) -> None:
    """Check that metrics are detached scalars, and accuracies have a chance level."""
    output = pair.output()
    _hold(
        output.loss.shape == (),
        f"the loss has shape {tuple(output.loss.shape)}",
        "it must be a scalar",
    )
    for name, value in output.metrics.items():
        _hold(
            value.shape == (),
            f"metric '{name}' has shape {tuple(value.shape)}",
            "it must be a scalar tensor",
        )
        _hold(
            not value.requires_grad,
            f"metric '{name}' has a gradient",
            "detach it, or the whole graph is kept",
        )
    for metric in accuracies(output.metrics):
        _hold(
            metric.chance is not None and 0 < float(metric.chance) < 1,
            f"metric '{metric.name}' has no chance level",
            f"give '{chance_name(metric.name)}' too, within 0..1",
        )


@seeded(0)
def blindness_is_declared(pair: Pair) -> None:
    """Check that ``always_blind`` says whether the encoder is told a place.

    It holds where a task asks ``alone`` only, in which places are of no use.
    """
    told: list[bool] = []
    hook = pair.encoder.register_forward_pre_hook(
        lambda _, given: told.append(bool(given[0].placed.any()))
    )
    try:
        with torch.no_grad():
            pair.output()
    finally:
        hook.remove()
    _hold(
        not told or any(told) is not pair.task.always_blind,
        f"always_blind={pair.task.always_blind}, and {'a place' if any(told) else 'no place'} was"
        " told to the encoder",
        f"set always_blind={not any(told)}; a ViT is exported with or without places by it",
    )


@seeded(0)
def preview_lays_tiles_on_cells(pair: Pair) -> None:
    """Check the pictures of a task at work; it holds for a task without preview."""
    pair.encoder.eval()
    pair.task.eval()
    with torch.no_grad():
        pictured = pair.task.preview(pair.sampler.eval()(pair.images), pair.encoder)
    for picture in pictured:
        at = f"preview '{picture.title}'"
        shape, cells = tuple(picture.tiles.shape[:2]), tuple(picture.cells.shape)
        _hold(shape == cells, f"{at} has tiles {shape} and cells {cells}", "one cell for each tile")
        inside = bool(((picture.cells >= 0) & (picture.cells < pair.sampler.grid.cells)).all())
        _hold(
            inside,
            f"{at} names cells that the grid does not have",
            f"cells are 0..{pair.sampler.grid.cells - 1}",
        )
        marked = picture.right is None or picture.right.shape == picture.cells.shape
        _hold(marked, f"{at} marks other tiles than it lays", "right has the shape of cells")


@seeded(0)
def it_does_not_matter_how_pixels_lie(pair: Pair) -> None:
    """Check that loss and gradients are the same for both memory formats of images.

    AssertionError where they differ.
    """
    planes = pair.patches()
    colours = replace(planes, tiles=planes.tiles.movedim(2, -1).contiguous().movedim(-1, 2))
    try:
        before, again, after = (
            _loss_and_gradients(pair, patches) for patches in (planes, planes, colours)
        )
    except RuntimeError as error:
        raise AssertionError(
            f"{error}; colours of a pixel may lie together: reshape works then, view may not"
        ) from None
    change, own = (
        float((found - before).abs().max() / before.abs().max()) for found in (after, again)
    )
    same = change < max(
        1e-4, 1000 * own
    )  # what changes by itself is for ``draws_follow_torchs_seed`` to tell
    _hold(
        same,
        f"loss or gradients change by {change:.1e} with how pixels lie in memory",
        "they are the same tiles",
    )


def _loss_and_gradients(pair: Pair, patches: PatchBatch) -> Tensor:
    """All numbers in a row."""
    pair.encoder.zero_grad()
    with seeded(0):
        loss = pair.task(patches, pair.encoder).loss
    loss.backward()
    gradients = (p.grad for p in pair.encoder.parameters() if p.grad is not None)
    return torch.cat([loss.detach().view(1), *(gradient.flatten() for gradient in gradients)])


@seeded(0)
def features_have_their_shapes(pair: Pair) -> None:
    """Check the shapes of features for any batch and layers; pooled is the mean of dense."""
    net = pair.encoder.eval()
    for count in (1, 3):
        with torch.no_grad():
            layers = net.features(torch.randn(count, *pair.images.shape[1:]), layers=(-2, -1))
        _hold(
            len(layers) == 2,
            f"features(layers=(-2, -1)) gave {len(layers)} records",
            "one for each layer",
        )
        for found in layers:
            shapes = (
                f"pooled {tuple(found.pooled.shape)}, dense {tuple(found.dense.shape)}, prefix"
                f" {tuple(found.prefix.shape)}"
            )
            dim = found.pooled.shape[-1]
            good = (
                found.pooled.shape == (count, dim)
                and found.dense.shape[:2] == (count, dim)
                and found.dense.dim() == 4
            )
            _hold(
                good and found.prefix.shape[::2] == (count, dim),
                shapes,
                "(B, dim), (B, dim, h, w), (B, P, dim)",
            )
            mean = torch.allclose(found.dense.mean((2, 3)), found.pooled, atol=EXACT)
            _hold(mean, "pooled is not the mean of dense", "the export pools by the mean")
        dim = layers[-1].pooled.shape[1]
        _hold(dim == net.dim, f"features have {dim} numbers and dim={net.dim}", "they must agree")


ENCODER = (
    blind_tiles_carry_no_order,
    features_equal_the_export,
    every_exported_parameter_is_trained,
    the_loss_falls,
    it_does_not_matter_how_pixels_lie,
)
TASK = (
    features_equal_the_export,
    every_exported_parameter_is_trained,
    the_loss_falls,
    draws_follow_torchs_seed,
    metrics_are_detached_scalars_beside_chance,
    blindness_is_declared,
    preview_lays_tiles_on_cells,
    it_does_not_matter_how_pixels_lie,
)


@seeded(0)
def _order(patches: PatchBatch) -> Tensor:
    """(B, K): a permutation of each image's tiles."""
    return torch.rand(patches.tiles.shape[:2]).argsort(1)


def _relative(expected: Tensor, found: Tensor) -> float:
    return float((expected - found).abs().max() / expected.abs().max())


def _hold(holds: bool, found: str, rule: str) -> None:
    if not holds:
        raise AssertionError(f"{found}; {rule}")
