"""Count the FLOPs of attention on a CPU, which torch 2.11 leaves out and 2.15 counts.

A budget must not hang on the version of torch. The operations are private to it and have no public
name (`tests/training/test_attention_flops.py` breaks first).
"""

from __future__ import annotations

import torch
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda out, query, key, value, *_, **__: sdpa_backward_flop_count(out, query, key, value)
    ),
}
"""Operation -> FLOPs by the shapes of its arguments, as torch's counter takes it."""
