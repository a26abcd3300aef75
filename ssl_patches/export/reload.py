"""Loads an exported folder as a stranger would, and compares it with what the trained model said.

Run as ``python -I reload.py DIR REFERENCE.npz [SITE ...]`` in a process of its own, by path: it is no part of the package
it judges. The reference holds ``images`` (N, C, H, W) and ``outputs`` (N, dim), both float32; SITE are folders that hold
torch and timm where isolated mode would not find them. Prints one JSON object.

Trap: a test in the training process proves nothing, because there the code that made the weights can still help to
load them. So the first thing done here is to make ``import ssl_patches`` impossible, and to try it.
"""

from __future__ import annotations

import importlib
import json
import sys

BLOCKED = "ssl_patches"
BATCH = 16


class Blocker:
    """Stands before every other finder and refuses the package by name."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == BLOCKED:
            raise ImportError(f"{BLOCKED} is blocked in this process")


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def isolate(sites: tuple[str, ...]) -> bool:
    """Make the package impossible to import, find torch and timm in ``sites``, and say whether trying to fails."""
    sys.meta_path.insert(0, Blocker())
    sys.path.extend(site for site in sites if site not in sys.path)
    return not importable(BLOCKED)


def difference(directory: str, reference: str) -> dict[str, object]:
    """The folder's features against those of the reference."""
    import numpy as np  # comes with timm
    import timm
    import torch

    with np.load(reference, allow_pickle=False) as stored:
        images, expected = torch.from_numpy(stored["images"]), torch.from_numpy(stored["outputs"])
    model = timm.create_model(f"local-dir:{directory}", pretrained=True).eval()
    with torch.inference_mode():
        outputs = torch.cat([model(batch) for batch in images.split(BATCH)])
    if outputs.shape != expected.shape:
        raise RuntimeError(f"features have shape {tuple(outputs.shape)}, the reference has {tuple(expected.shape)}")
    return {
        "largest_difference": (outputs.double() - expected.double()).abs().max().item(),
        "scale": expected.abs().max().item(),
        "timm": timm.__version__,
        "torch": torch.__version__,
    }


def main(directory: str, reference: str, *sites: str) -> dict[str, object]:
    isolated = isolate(sites)
    found = difference(directory, reference)
    return found | {"isolated": isolated and BLOCKED not in sys.modules}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
