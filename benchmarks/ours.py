"""Our MAE at a peer's architecture, as a run builds it, and its bare training step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from peers import ReferenceMAE, Shape
from torch import Tensor, nn

from ssl_patches.encoders.attention import choose_attention
from ssl_patches.encoders.token import TokenEncoder
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.masked import Masked
from ssl_patches.training.onednn import linears_in_onednn
from ssl_patches.training.optim import AdamW
from ssl_patches.training.pretrainer import Part, Pretrainer


def pretrainer(shape: Shape, *, batch: int) -> Pretrainer:
    sizes = {
        "embed_dim": shape.width,
        "depth": shape.depth,
        "num_heads": shape.heads,
        "class_token": True,
    }
    encoder = TokenEncoder(
        name=shape.timm_name, image_size=shape.image, patch_size=shape.patch, options=sizes
    )
    sampler = PatchSampler(image_size=shape.image, unit=shape.patch, multiple=shape.patch)
    decoder = {
        "width": shape.decoder_width,
        "depth": shape.decoder_depth,
        "heads": shape.decoder_heads,
    }
    task = Masked(dim=encoder.dim, grid=sampler.grid, mask_ratio=shape.mask_ratio, **decoder)
    part = Part("masked", sampler, task)
    return Pretrainer(
        encoder=encoder, parts=[part], views=nn.Identity(), recipe=AdamW(), batch_size=batch
    )


def our_step(
    module: Pretrainer, images: Tensor, *, bf16: bool, onednn: bool = False
) -> Callable[[], None]:
    """A whole step: uint8 images -> tiles -> loss -> gradients -> AdamW. ``onednn``: fp32 linear
    maps there."""
    device = images.device.type
    choose_attention(
        module,
        accelerator="cpu" if device == "cpu" else "gpu",
        precision="bf16" if bf16 else "fp32",
    )
    optimizer = module.configure_optimizers()

    def run() -> None:
        with ExitStack() as stack:
            if onednn:
                stack.enter_context(linears_in_onednn(module))
            with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
                loss, _ = module.losses(images)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def peer_step(model: nn.Module, images: Tensor, *, bf16: bool) -> Callable[[], None]:
    """The same for a model that takes normalised images; groups of AdamW as timm makes them, fused
    like ours."""
    device = images.device.type
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1]},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True
    )

    def run() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            found = model(images)
            loss = found if isinstance(found, Tensor) else found.loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


@torch.no_grad()
def same_weights(module: Pretrainer, reference: ReferenceMAE) -> None:
    """Give our module the weights of the reference."""
    ours, task, theirs = module.encoder.model, module.tasks["masked"], reference
    ours.patch_embed.load_state_dict(theirs.patch_embed.state_dict())
    ours.cls_token.copy_(theirs.cls_token)
    pairs = [
        (ours.blocks, theirs.blocks),
        (ours.norm, theirs.norm),
        (task.decoder.enter, theirs.decoder_embed),
    ]
    pairs += [
        (task.decoder.blocks, theirs.decoder_blocks),
        (task.decoder.norm, theirs.decoder_norm),
    ]
    for mine, other in [*pairs, (task.decoder.leave, theirs.decoder_pred)]:
        mine.load_state_dict(other.state_dict())
    task.hidden_token.copy_(theirs.mask_token.view(-1))
