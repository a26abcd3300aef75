"""The MAE of others at equal architecture and loss, to be raced against.

``ReferenceMAE`` is a **re-statement** of facebookresearch/mae (models_mae.py; He et al. 2022),
which is no package: a convolution embeds all patches, noise is sorted and a quarter kept, all
tokens are decoded and the loss is averaged over hidden patches. Its blocks are those of the timm of
today, with timm's choice of attention (``fused``: torch's scaled_dot_product_attention) or with
products and softmax (as timm 0.3.2, which that repository asks for, had them). ``hugging_face`` is
the package itself: transformers.ViTMAEForPreTraining.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from timm.models.vision_transformer import Block, PatchEmbed
from torch import Tensor, nn

from ssl_patches.encoders.positions import sincos_table


@dataclass(frozen=True)
class Shape:
    """Encoder and decoder of an MAE; a quarter of the patches is visible, class token in front."""

    image: int
    patch: int
    width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_depth: int
    decoder_heads: int
    timm_name: str
    mask_ratio: float = 0.75


LINES = {
    "ViT-T/4 @32": Shape(32, 4, 192, 12, 3, 192, 4, 3, "vit_tiny_patch16_224"),
    "ViT-S/16 @224": Shape(224, 16, 384, 12, 6, 512, 8, 16, "vit_small_patch16_224"),
    "ViT-B/16 @224": Shape(224, 16, 768, 12, 12, 512, 8, 16, "vit_base_patch16_224"),
}


class ReferenceMAE(nn.Module):
    def __init__(self, shape: Shape, *, fused: bool) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, eps=1e-6)
        side, width = shape.image // shape.patch, shape.decoder_width
        self.shape, self.patch_embed = shape, PatchEmbed(shape.image, shape.patch, 3, shape.width)
        self.cls_token = nn.Parameter(torch.randn(1, 1, shape.width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(shape.width, shape.heads, 4, True, norm_layer=norm) for _ in range(shape.depth)
        )
        self.norm = norm(shape.width)
        self.decoder_embed = nn.Linear(shape.width, width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        decoder = (
            Block(width, shape.decoder_heads, 4, True, norm_layer=norm)
            for _ in range(shape.decoder_depth)
        )
        self.decoder_blocks = nn.ModuleList(decoder)
        self.decoder_norm, self.decoder_pred = norm(width), nn.Linear(width, shape.patch**2 * 3)
        for name, dim in (("pos_embed", shape.width), ("decoder_pos_embed", width)):
            table = torch.cat([torch.zeros(1, dim), sincos_table(side, side, dim)])[None]
            self.register_parameter(name, nn.Parameter(table, requires_grad=False))
        for block in (*self.blocks, *self.decoder_blocks):
            block.attn.fused_attn = fused

    def patchify(self, images: Tensor) -> Tensor:
        p = self.shape.patch
        side = images.shape[2] // p
        x = images.reshape(len(images), 3, side, p, side, p)
        return torch.einsum("nchpwq->nhwpqc", x).reshape(len(images), side * side, p**2 * 3)

    def random_masking(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count, length, dim = x.shape
        keep = int(length * (1 - self.shape.mask_ratio))
        shuffle = torch.argsort(noise, dim=1)
        restore = torch.argsort(shuffle, dim=1)
        kept = torch.gather(x, 1, shuffle[:, :keep].unsqueeze(-1).repeat(1, 1, dim))
        mask = torch.ones([count, length], device=x.device)
        mask[:, :keep] = 0
        return kept, torch.gather(mask, 1, restore), restore

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """``images`` (B, 3, H, W) normalised -> loss. ``noise`` (B, patches): drawn where not
        given."""
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        noise = torch.rand(x.shape[:2], device=x.device) if noise is None else noise
        x, mask, restore = self.random_masking(x, noise)
        x = torch.cat(((self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x), 1)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_embed(self.norm(x))
        hidden = self.mask_token.repeat(len(x), restore.shape[1] + 1 - x.shape[1], 1)
        together = torch.cat([x[:, 1:], hidden.to(x.dtype)], 1)
        together = torch.gather(together, 1, restore.unsqueeze(-1).repeat(1, 1, x.shape[2]))
        x = torch.cat([x[:, :1], together], 1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        predicted = self.decoder_pred(self.decoder_norm(x))[:, 1:]
        target = self.patchify(images)
        target = (target - target.mean(-1, keepdim=True)) / (
            target.var(-1, keepdim=True) + 1e-6
        ) ** 0.5
        error = ((predicted - target) ** 2).mean(-1)
        return (error * mask).sum() / mask.sum()


def hugging_face(shape: Shape, *, attention: str) -> nn.Module:
    """``attention``: sdpa (its own choice) or eager."""
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        image_size=shape.image,
        patch_size=shape.patch,
        decoder_hidden_size=shape.decoder_width,
        decoder_num_hidden_layers=shape.decoder_depth,
        decoder_num_attention_heads=shape.decoder_heads,
        decoder_intermediate_size=4 * shape.decoder_width,
        mask_ratio=shape.mask_ratio,
        norm_pix_loss=True,
        layer_norm_eps=1e-6,
        attn_implementation=attention,
    )
    return ViTMAEForPreTraining(config)
