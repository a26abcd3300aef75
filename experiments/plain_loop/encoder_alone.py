"""The encoder alone, without tiles: a classifier on whole images, through the features that are
exported."""

import torch
from torch import nn
from torch.nn import functional as F

from ssl_patches.encoders import create


def train(images, labels, *, steps, lr=1e-3):
    """``images`` (N, 3, S, S) normalised floats, ``labels`` (N,) -> encoder, head, and the loss of
    each step."""
    encoder = create(
        name="resnet10t", image_size=images.shape[-1], options={"channels": [16, 24, 32, 40]}
    )
    head = nn.Linear(encoder.dim, int(labels.max()) + 1)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=lr)
    losses = []
    for _ in range(steps):
        (last,) = encoder.features(
            images
        )  # pooled (B, dim), dense (B, dim, h, w), prefix (B, P, dim)
        loss = F.cross_entropy(head(last.pooled), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return encoder, head, losses
