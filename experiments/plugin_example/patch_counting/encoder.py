"""An encoder is whatever a callable returns: here a ViT of one's own proportions, with registers
(Darcet et al. 2024)."""

from __future__ import annotations

from ssl_patches.encoders import Encoder, create


def vit_registers(
    *, image_size: int, channels: int = 3, depth: int = 6, dim: int = 192, patch_size: int = 8
) -> Encoder:
    """``dim``: a multiple of 48, so that heads have 48 numbers; four registers and a class
    token."""
    if dim % 48:
        raise ValueError(
            f"encoder.dim={dim}: must be a multiple of 48; set"
            f" encoder.dim={max(48, dim // 48 * 48)}"
        )
    options = {
        "depth": depth,
        "embed_dim": dim,
        "num_heads": dim // 48,
        "class_token": True,
        "reg_tokens": 4,
    }
    return create(
        name="vit_tiny_patch16_224",
        image_size=image_size,
        channels=channels,
        patch_size=patch_size,
        options=options,
    )
