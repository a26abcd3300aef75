"""Load an export as a stranger would, and compare it with what the trained model gave.

Run as ``python -I reload.py FORMAT DIR REFERENCE.npz [SITE ...]`` in a process of its own, by path:
it is no part of the package it judges. SITE are folders that hold torch and the like where isolated
mode would not find them. Prints one JSON object. Images come as uint8; how they are normalised is
read from the export itself, so that a lost mean shows.

Trap: a test in the training process proves nothing, because there the code that made the weights
can still help to load them. So the first thing done here is to make ``import ssl_patches``
impossible, and to try it; for ONNX, which is for machines without torch, the same with torch.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

BLOCKED = {
    "timm": ("ssl_patches",),
    "onnx": ("ssl_patches", "torch", "timm"),
    "torch_export": ("ssl_patches", "timm"),
}
UNUSED = ("wandb",)
"""What timm would load beside itself where it is installed: time, and no reader needs it."""
BATCH = 16
Run = Callable[[Any], tuple[Any, Any]]
"""uint8 (B, C, H, W) -> pooled (B, dim), dense (B, dim, h, w), all numpy."""


class Blocker:
    """A finder that stands before every other and refuses packages by name."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse the named packages by ImportError; find nothing else."""
        if name.split(".")[0] in self.names:
            raise ImportError(f"{name} is blocked in this process")


def importable(name: str) -> bool:
    """Tell whether a package can be imported."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def isolate(blocked: tuple[str, ...], sites: tuple[str, ...]) -> bool:
    """Make packages impossible to import, and tell whether importing them fails now.

    ``sites``: folders in which the others are found.
    """
    finders: list[Any] = sys.meta_path
    finders.insert(0, Blocker(blocked))
    sys.path.extend(site for site in sites if site not in sys.path)
    return not any(map(importable, blocked))


COMPILER = ("torch._dynamo", "torch._dynamo.utils")


class Later(ModuleType):
    """A part of torch's compiler that is loaded when something of it is used.

    Except for two names that are asked for while timm and torchvision load: a decorator that keeps
    the compiler away from a function, which is that function where nothing is compiled, and a
    question that one operator of torchvision asks when it is called.
    """

    def disable(self, function: Any = None, *_: Any, **__: Any) -> Any:
        """Leave a function as it is."""
        return (lambda given: given) if function is None else function

    def is_compile_supported(self, device: str) -> bool:
        """Ask torch itself."""
        _withdraw()
        return importlib.import_module(self.__name__).is_compile_supported(device)

    def __getattr__(self, name: str) -> Any:
        """Load what this stands for."""
        if name.startswith("__"):
            raise AttributeError(name)
        _withdraw()
        return getattr(importlib.import_module(self.__name__), name)


def _withdraw() -> None:
    """Take the stand-ins away: what is imported from here on is real."""
    for name in COMPILER:
        if isinstance(sys.modules.get(name), Later):
            del sys.modules[name]


@contextmanager
def compiler_later() -> Iterator[None]:
    """Load no compiler of torch's in the block: a quarter of the time and memory of a proof."""
    if not any(name in sys.modules for name in COMPILER):
        sys.modules.update({name: Later(name) for name in COMPILER})
    try:
        yield
    finally:
        _withdraw()


def normalised(images: Any, mean: Any, std: Any) -> Any:
    """Normalise uint8 (B, C, H, W) by mean and std per channel, of pixels in 0..1."""
    import numpy as np

    mean, std = (np.asarray(values, dtype=np.float32).reshape(-1, 1, 1) for values in (mean, std))
    return (images.astype(np.float32) / np.float32(255) - mean) / std


def prepared(images: Any, metadata: str) -> Any:
    """Prepare uint8 (B, C, H, W) as the metadata of a graph's own file says."""
    said = json.loads(metadata)["preprocessing"]
    if said["graph_input"].startswith("uint16"):
        import numpy as np

        low, high = said["stored_range"] or (0, 65535)
        return np.rint(low + images.astype(np.float64) * ((high - low) / 255)).astype(np.uint16)
    return (
        images
        if said["graph_input"].startswith("uint8")
        else normalised(images, said["mean"], said["std"])
    )


def read_timm(directory: str) -> Run:
    """Load the folder by timm alone."""
    import torch

    with compiler_later():
        import timm

    model: Any = timm.create_model(f"local-dir:{directory}", pretrained=True).eval()
    data = timm.data.resolve_model_data_config(model)

    @torch.inference_mode()
    def run(images: Any) -> tuple[Any, Any]:
        images = torch.from_numpy(normalised(images, data["mean"], data["std"]))
        final = model.forward_features(images)
        pooled = model.forward_head(final)
        if final.dim() == 3:
            tokens, (height, width) = (
                final[:, model.num_prefix_tokens :],
                model.patch_embed.patch_size,
            )
            final = tokens.transpose(1, 2).unflatten(
                2, (images.shape[2] // height, images.shape[3] // width)
            )
        return pooled.numpy(), final.numpy()

    return run


def read_onnx(directory: str) -> Run:
    """Load the ONNX file by onnxruntime alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        f"{directory}/encoder.onnx", options, providers=["CPUExecutionProvider"]
    )
    metadata = session.get_modelmeta().custom_metadata_map["ssl_patches.json"]

    def run(images: Any) -> tuple[Any, Any]:
        pooled, dense = session.run(["pooled", "dense"], {"image": prepared(images, metadata)})
        return pooled, dense

    return run


def read_torch_export(directory: str) -> Run:
    """Load the torch.export file by torch alone."""
    import torch

    extra = {"ssl_patches.json": ""}
    model = torch.export.load(f"{directory}/encoder.pt2", extra_files=extra).module()

    @torch.inference_mode()
    def run(images: Any) -> tuple[Any, Any]:
        pooled, dense = model(torch.from_numpy(prepared(images, extra["ssl_patches.json"])))
        return pooled.numpy(), dense.numpy()

    return run


READERS: dict[str, Callable[[str], Run]] = {
    "timm": read_timm,
    "onnx": read_onnx,
    "torch_export": read_torch_export,
}


def batches(images: Any) -> Iterator[Any]:
    """Yield one image, then the others in batches."""
    yield images[:1]  # a batch of one is where dynamic shapes go wrong
    for start in range(1, len(images), BATCH):
        yield images[start : start + BATCH]


def differences(form: str, directory: str, reference: str) -> dict[str, object]:
    """Return, per size and output, the largest difference and the largest reference value.

    RuntimeError where features have other shapes than the reference.
    """
    import numpy as np

    run, found = READERS[form](directory), []
    with np.load(reference, allow_pickle=False) as stored:
        for height, width in stored["sizes"].tolist():
            size = f"{height}x{width}"
            at, shape = stored[f"at_{size}"], tuple(stored[f"shape_{size}"].tolist())
            expected = {"pooled": stored[f"pooled_{size}"], "dense": stored[f"dense_{size}"]}
            found_of: dict[str, list[Any]] = {"pooled": [], "dense": []}
            for batch in batches(stored[f"images_{size}"]):
                pooled, dense = run(batch)
                if dense.shape[1:] != shape:
                    raise RuntimeError(
                        f"the dense map of {size} images is {dense.shape[1:]}, the reference has"
                        f" {shape}"
                    )
                found_of["pooled"].append(pooled)
                found_of["dense"].append(dense.reshape(len(dense), -1)[:, at])
            for name, some in found_of.items():
                outputs = np.concatenate(some).astype(np.float64)
                wanted = expected[name].astype(np.float64)
                if outputs.shape != wanted.shape:
                    raise RuntimeError(
                        f"{name} features have shape {outputs.shape}, the reference has"
                        f" {wanted.shape}"
                    )
                difference, scale = (
                    float(np.abs(outputs - wanted).max()),
                    float(np.abs(wanted).max()),
                )
                found.append(
                    {
                        "size": [height, width],
                        "output": name,
                        "difference": difference,
                        "scale": scale,
                    }
                )
    return {"found": found}


def main(form: str, directory: str, reference: str, *sites: str) -> dict[str, object]:
    """Compare one format of an export with the reference, where ssl_patches cannot be imported."""
    finders: list[Any] = sys.meta_path
    finders.insert(0, Blocker(UNUSED))
    isolated = isolate(BLOCKED[form], sites)
    found = differences(form, directory, reference)
    return found | {"isolated": isolated and not any(name in sys.modules for name in BLOCKED[form])}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
