"""Ask whether this machine multiplies bf16 by itself: only then is it quicker than fp32."""

from __future__ import annotations

import torch


def native_bf16(accelerator: str) -> str | None:
    """Say in words what makes bf16 fast on this machine; None where nothing does.

    Emulated bf16 is slower than fp32.
    """
    if accelerator == "gpu":
        name = torch.cuda.get_device_name()
        return (
            f"{name} has bf16 tensor cores"
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else None
        )
    units = {"amx_bf16": "AMX-BF16", "avx512_bf16": "AVX512-BF16", "sve_bf16": "SVE-BF16"}
    found = (
        torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    )  # not in the oldest torch allowed
    return next((f"this CPU has {name}" for key, name in units.items() if found.get(key)), None)
