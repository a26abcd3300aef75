"""Fit the attentive probe: one learned query over the tokens of an image, and a linear map.

After CAPI (Darcet et al. 2025, arXiv:2502.08769): one query, a linear map to keys and values, heads
of about 64 dimensions, softmax attention, a linear map to the labels; AdamW, learning rate and
weight decay chosen on a tenth of *train*, then trained again on all of train. It shows what lies in
the tokens of encoders whose mean or class token was never trained to tell it (MAE, I-JEPA).

One query makes it cheap: the score of a token is a product with one vector per head (the query
taken through the key map), and values are mapped after averaging. That is the same function at a
sixtieth of the products, so the whole grid of settings is trained side by side on the same batches.

The trap: a key's bias cancels in the softmax and gets no gradient, so there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.metrics import MAIN, metrics_of
from ssl_patches.evaluation.probes.linear import shuffled_part, stratified

HEAD = 64  # dimensions
NAMES = ("query", "key", "value", "value_bias", "label", "label_bias")
READ = 2048  # images at a time where nothing is learned


def attentive_probe(
    train: Tensor,
    train_targets: Tensor,
    test: Tensor,
    *,
    kind: Kind,
    count: int,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float],
    steps: int,
    batch: int,
    warmup: float,
    held_out: float,
    seed: int,
    device: str | torch.device = "cpu",
) -> tuple[Tensor, dict[str, Any]]:
    """Predict classes (N,), scores (N, L) or values (N, D) for ``test``, and tell the settings.

    ``train`` (M, tokens, dim), ``test`` (N, tokens, dim); ``count``: classes, labels or values.
    Tokens stay where they are and come to ``device`` in batches. The settings say
    ``learning_rate``, ``weight_decay``, ``held_out`` (images that chose them; 0 where no class has
    two, and the middle of the grid is taken) and ``scores`` on those. ValueError for features that
    are not finite.
    """
    grid = list(product(learning_rates, weight_decays))
    held = stratified(train_targets, share=held_out, seed=seed) if kind == "class" else None
    held = shuffled_part(len(train), share=held_out, seed=seed) if held is None else held
    scale = _standardisation(train, train_targets, kind)
    fit = partial(
        _fit,
        count=count,
        kind=kind,
        steps=steps,
        batch=batch,
        warmup=warmup,
        seed=seed,
        device=device,
    )
    chosen, scores = len(grid) // 2, []
    if held.any():
        some, kept = (~held).nonzero()[:, 0], held.nonzero()[:, 0]
        found = _predictions(
            fit(train, train_targets, some, scale, grid),
            train,
            kept,
            kind,
            device,
        )
        scores = [
            metrics_of(some_predicted, train_targets[held], kind=kind)[MAIN[kind]]
            .nan_to_num(-math.inf)
            .item()
            for some_predicted in found
        ]
        chosen = max(range(len(grid)), key=scores.__getitem__)
    everything = torch.arange(len(train))
    probe = fit(train, train_targets, everything, scale, [grid[chosen]])
    (predicted,) = _predictions(probe, test, torch.arange(len(test)), kind, device)
    rate, decay = grid[chosen]
    told = {
        f"{grid_rate:g}, {grid_decay:g}": score
        for (grid_rate, grid_decay), score in zip(grid, scores, strict=False)
    }
    return predicted, {
        "learning_rate": rate,
        "weight_decay": decay,
        "held_out": int(held.sum()),
        "scores": told,
    }


class Query(nn.Module):
    """The weights of one attentive probe."""

    def __init__(self, *, dim: int, count: int, seed: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(0.02 * torch.randn(*shape, generator=draw))

        self.query, self.key, self.value, self.label = (
            normal(dim),
            normal(dim, dim),
            normal(dim, dim),
            normal(count, dim),
        )
        self.value_bias, self.label_bias = (
            nn.Parameter(torch.zeros(1, dim)),
            nn.Parameter(torch.zeros(1, count)),
        )


class AttentiveProbes(nn.Module):
    """Several probes of the same start side by side, on tokens that are standardised by ``scale``.

    ``centre``, ``spread``: of values to be told (D,).
    """

    mean: Tensor
    std: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(
        self, *, probes: int, dim: int, count: int, scale: Mapping[str, Tensor], seed: int
    ) -> None:
        super().__init__()
        self.heads = next(heads for heads in range(max(1, dim // HEAD), 0, -1) if dim % heads == 0)
        self.probes = nn.ModuleList([Query(dim=dim, count=count, seed=seed) for _ in range(probes)])
        for name, values in scale.items():
            self.register_buffer(name, values)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict (probes, B, count) from tokens (B, T, dim)."""
        tokens = (tokens.float() - self.mean) / self.std
        weights = {
            name: torch.stack([dict(probe.named_parameters())[name] for probe in self.probes])
            for name in NAMES
        }
        probes, dim = weights["query"].shape
        rows, each = probes * self.heads, dim // self.heads
        query = weights["query"].view(rows, 1, each) @ weights["key"].view(
            rows, each, dim
        )  # through the key map
        share = (tokens @ (query[:, 0].T / math.sqrt(each))).softmax(1)  # (B, T, probes * heads)
        seen = (share.transpose(1, 2) @ tokens).transpose(0, 1)  # (probes * heads, B, dim)
        value = seen @ weights["value"].view(rows, each, dim).transpose(1, 2)
        value = (
            value.view(probes, self.heads, -1, each).transpose(1, 2).flatten(2)
            + weights["value_bias"]
        )
        return value @ weights["label"].transpose(1, 2) + weights["label_bias"]


def _fit(
    train: Tensor,
    targets: Tensor,
    some: Tensor,
    scale: Mapping[str, Tensor],
    grid: Sequence[tuple[float, float]],
    *,
    kind: Kind,
    count: int,
    steps: int,
    batch: int,
    warmup: float,
    seed: int,
    device: str | torch.device,
) -> AttentiveProbes:
    """Train the probes of ``grid`` (learning rate, weight decay) at once on images ``some``."""
    model = AttentiveProbes(
        probes=len(grid), dim=train.shape[-1], count=count, scale=scale, seed=seed
    ).to(device)
    groups = [
        {"params": probe.parameters(), "lr": rate, "weight_decay": decay}
        for probe, (rate, decay) in zip(model.probes, grid, strict=True)
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    rising = max(1, round(warmup * steps))

    def pace(step: int) -> float:
        return (
            (step + 1) / rising
            if step < rising
            else 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, pace)
    for index in _batches(some, steps=steps, batch=batch, seed=seed):
        loss = _loss(model(train[index].to(device)), targets[index].to(device), model, kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def _loss(predictions: Tensor, targets: Tensor, probes: AttentiveProbes, kind: Kind) -> Tensor:
    """Of predictions (P, B, count): the mean over images, summed over probes, which do not touch
    each other."""
    each = len(predictions)
    if kind == "class":
        return each * F.cross_entropy(predictions.flatten(0, 1), targets.repeat(each))
    if kind == "multilabel":
        return each * F.binary_cross_entropy_with_logits(
            predictions, targets.float().expand_as(predictions)
        )
    return each * F.mse_loss(
        predictions, ((targets - probes.centre) / probes.spread).expand_as(predictions)
    )


@torch.inference_mode()
def _predictions(
    probes: AttentiveProbes, tokens: Tensor, some: Tensor, kind: Kind, device: str | torch.device
) -> Tensor:
    """(P, n), or (P, n, count): what each probe says of the images ``some``."""
    found = torch.cat([probes(tokens[index].to(device)).cpu() for index in some.split(READ)], 1)
    if kind == "class":
        return found.argmax(2)
    return found if kind == "multilabel" else found * probes.spread.cpu() + probes.centre.cpu()


def _batches(some: Tensor, *, steps: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Yield ``steps`` batches of indices, from one permutation of ``some`` after the other.

    Sorted, for files like that.
    """
    draw, left = torch.Generator().manual_seed(seed), some[:0]
    batch = min(batch, len(some))
    for _ in range(steps):
        if len(left) < batch:
            left = torch.cat([left, some[torch.randperm(len(some), generator=draw)]])
        index, left = left[:batch].sort().values, left[batch:]
        yield index


def _standardisation(train: Tensor, targets: Tensor, kind: Kind) -> dict[str, Tensor]:
    """Mean and deviation of the tokens' dimensions, and of values to be told."""
    total, square = (torch.zeros(train.shape[-1], dtype=torch.float64) for _ in range(2))
    for some in train.split(READ):
        total += some.double().mean(1).sum(0)
        square += some.double().square().mean(1).sum(0)
    mean = total / len(train)
    std = (square / len(train) - mean.square()).clamp(min=0).sqrt()
    if not (mean.isfinite() & std.isfinite()).all():
        raise ValueError(
            "probes=[attentive]: features of tokens are not finite, or beyond 65504; take an"
            " earlier checkpoint, or precision=fp32"
        )
    # float16 resolves no more
    std = torch.where(std <= 1e-4 * std.max(), torch.ones_like(std), std)
    scale = {"mean": mean.float(), "std": std.float()}
    if kind == "value":
        spread = targets.std(0, correction=0)
        scale |= {"centre": targets.mean(0), "spread": torch.where(spread > 0, spread, 1.0)}
    return scale
