"""Dividing a model keeps its names; runs of several processes are in test_processes."""

from __future__ import annotations

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule

from ssl_patches.encoders import create
from ssl_patches.training.fsdp import shard


@pytest.fixture
def alone(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_blocks_and_wholes_are_divided_and_names_stay(alone) -> None:
    options = {"depth": 2, "embed_dim": 8, "num_heads": 1}
    encoder = create(name="vit_tiny_patch16_224", image_size=16, patch_size=8, options=options)
    names, head = list(encoder.state_dict()), torch.nn.Linear(8, 2)
    shard(encoder, [head], init_device_mesh("cpu", (1,)))
    assert list(encoder.state_dict()) == names
    divided = [module for module in encoder.modules() if isinstance(module, FSDPModule)]
    assert len(divided) == 3, "two blocks and the whole"
    assert isinstance(head, FSDPModule)
