"""Divide parameters, gradients and optimiser of a run among its processes (FSDP2).

They are gathered block by block for use.

After torch's ``fully_shard`` (Zhao et al. 2023, arXiv 2304.11277, and its second version in
torch.distributed.fsdp). Trap: parameters are gathered when a module is *called*; what else computes
with them must be registered, or it meets pieces: ``Encoder.alone`` and ``Encoder.features`` here.
"""

from __future__ import annotations

from collections.abc import Iterable

from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.vision_transformer import Block
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from ssl_patches.encoders.base import Encoder


def shard(encoder: Encoder, tasks: Iterable[nn.Module], mesh: DeviceMesh) -> None:
    """Divide encoder and tasks in place; names of parameters and their order stay."""
    wholes = [encoder, *tasks]
    for whole in wholes:
        for module in whole.modules():
            if isinstance(module, Block | BasicBlock | Bottleneck):
                fully_shard(module, mesh=mesh)
        fully_shard(whole, mesh=mesh)
    for name in ("alone", "features"):
        register_fsdp_forward_method(encoder, name)
