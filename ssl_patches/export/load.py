"""Load an encoder from Python: ``ssl_patches.load_encoder``."""

from __future__ import annotations

import os
from typing import NamedTuple

from torch import nn

from ssl_patches.config.words import Place
from ssl_patches.data.preprocess import Preprocess
from ssl_patches.encoders.subject import open_model


class Loaded(NamedTuple):
    """An encoder in eval mode, and the preprocessing of its images.

    ``encoder(preprocess(image)[None])`` gives (1, dim).
    """

    encoder: nn.Module
    preprocess: Preprocess


def load_encoder(model: Place, *, pretrained: bool = True) -> Loaded:
    """Load the encoder of a run directory, an export, a repository of the hub
    (``hf-hub:USER/NAME``) or a name of timm, as a plain ``nn.Module``.

    Called on images (B, C, S, S) it gives pooled features (B, dim). ``pretrained`` is about timm
    names only: False gives random weights. ValueError when ``model`` is none of these, or its files
    were changed.
    """
    found = open_model(os.fspath(model), pretrained=pretrained)
    return Loaded(
        found.model,
        Preprocess(
            image_size=found.image_size,
            mean=tuple(found.mean),
            std=tuple(found.std),
            value_range=found.stored_range,
        ),
    )
