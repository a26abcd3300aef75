"""Read frozen features of whole images: one pass over the images, any number of models.

Every model sees the same batches, resized and normalised as the export says, in eval mode and
without augmentation; both splits go through the same function. Raw pixels are a "model" like
others: the floor that needs no network.

The trap: train mode. BatchNorm and dropout then give features of the batch, not of the image, and
an evaluation in the middle of a training that forgets to switch back changes the training.
``frozen`` switches every submodule and restores each to what it was (a deliberately frozen
BatchNorm stays frozen).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_patches.types import ImageBatch
from ssl_patches.views.resample import normalised

Precision = Literal["fp32", "bf16"]
Read = Tensor | Mapping[str, Tensor]
"""Features (B, dim), or several of them by name; (B, tokens, dim) goes to disk."""
Reader = Callable[[Tensor], Read]
"""From normalised images (B, C, H, W)."""
AT_ONCE = 32  # images in a forward pass on a CPU: more leave its caches, and take more memory
LARGEST_SIDE = 32  # of raw pixels: 3072 numbers per image; 50,000 images are 600 MB


def extract(
    model: nn.Module,
    loader: Iterable[ImageBatch],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device,
    precision: Precision = "fp32",
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Read features (N, dim) float32 and labels (N,) int64, on the CPU, in the loader's order.

    ``model``: normalised images (B, C, H, W) -> (B, dim). ``mean``, ``std``: per channel, of pixels
    in 0..1. ``precision="bf16"`` runs it under autocast. ``progress`` is told the number of images
    of each batch. ValueError for images or features of another shape.
    """
    with frozen(model, device):
        readers = {"model": vector_reader(model, device=device, precision=precision)}
        features, labels = collect(
            loader, readers, mean=mean, std=std, device=device, progress=progress
        )
    return features["model"], labels


def raw_pixels(
    loader: Iterable[ImageBatch],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    side: int = 16,
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Read normalised pixels (N, C * side * side) float32, channel first, and labels (N,).

    ``side``: in pixels, 1 to 32; else ValueError.
    """
    readers: dict[str, Reader] = {"pixels": flat_pixels(side)}
    features, labels = collect(loader, readers, mean=mean, std=std, device="cpu", progress=progress)
    return features["pixels"], labels


def flat_pixels(side: int) -> Callable[[Tensor], Tensor]:
    """Make a reader that averages images (B, C, H, W) down to ``side`` and flattens them.

    Smaller images are left as they are. ValueError beyond 1 to 32 pixels, which bounds the memory.
    """
    if not 1 <= side <= LARGEST_SIDE:
        raise ValueError(
            f"side={side}: must be 1 to {LARGEST_SIDE} (features are held in memory); set side=16"
        )

    def read(images: Tensor) -> Tensor:
        size = min(side, images.shape[-2]), min(side, images.shape[-1])
        return F.adaptive_avg_pool2d(images, size).flatten(1)

    return read


def vector_reader(
    model: nn.Module, *, device: str | torch.device, precision: Precision = "fp32"
) -> Callable[[Tensor], Tensor]:
    """Make a reader of normalised images (B, C, H, W) that gives the model's vectors (B, dim).

    The reader raises ValueError when the model gives something else.
    """
    autocast(device, precision)

    def read(images: Tensor) -> Tensor:
        with autocast(device, precision):
            features = model(images)
        if not isinstance(features, Tensor) or features.dim() != 2 or len(features) != len(images):
            shape = (
                tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            )
            raise ValueError(
                f"model: must turn (B, C, H, W) into (B, dim), but gave {shape}; pool its features"
                " first"
            )
        return features

    return read


def autocast(device: str | torch.device, precision: Precision) -> torch.autocast:
    """Make the autocast of a precision; it does nothing for fp32. ValueError for any other."""
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision={precision}: must be fp32 or bf16; set precision=fp32")
    return torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bf16"
    )


def collect(
    loader: Iterable[ImageBatch],
    readers: Mapping[str, Reader],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: str | torch.device,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Read features (N, dim) float32 by every reader, and labels (N, ...), streaming images once.

    A reader of several features gives them as ``reader.name``. Features of every token (N,
    tokens, dim) come as float16 on a file of ``tempfile.gettempdir()`` that has no name and goes
    with the tensor: 50,000 images of 64 tokens of 192 are 1.2 GB. Else all is on the CPU in memory.
    ValueError for images that are not uint8 (B, C, H, W) and for a loader without any.
    """
    parts: dict[str, _InMemory | _OnDisk] = {}
    labels = []
    centre, scale = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (mean, std))
    with torch.inference_mode():
        for batch in loader:
            _check(batch.images, channels=len(centre))
            images = normalised(batch.images.to(device, non_blocking=True), centre, scale)
            for name, read in readers.items():
                for part, features in _read(name, read, images):
                    parts.setdefault(part, _InMemory() if features.dim() == 2 else _OnDisk()).add(
                        features
                    )
            labels.append(batch.labels.cpu())
            if progress is not None:
                progress(len(images))
    if not labels:
        raise ValueError("data: the loader gave no images; name a source that holds some")
    # Cloned outside, for inference tensors may not enter a computation that is differentiated.
    return {name: some.whole() for name, some in parts.items()}, torch.cat(labels).clone()


def _read(name: str, read: Reader, images: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Read a batch, on a CPU ``AT_ONCE`` images at a time."""
    for some in images.split(AT_ONCE if images.device.type == "cpu" else len(images)):
        yield from _named(name, read(some))


def _named(name: str, read: Read) -> Iterable[tuple[str, Tensor]]:
    if isinstance(read, Tensor):
        return [(name, read)]
    return [(f"{name}.{part}", features) for part, features in read.items()]


class _InMemory:
    """Batches of (b, dim) -> (N, dim) float32."""

    def __init__(self) -> None:
        self.some: list[Tensor] = []

    def add(self, features: Tensor) -> None:
        self.some.append(features.float().cpu())

    def whole(self) -> Tensor:
        return torch.cat(self.some).clone()


class _OnDisk:
    """Batches of (b, tokens, dim) -> (N, tokens, dim) float16 that the operating system reads when
    they are asked for."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the last tensor that reads it)
        self.count = 0
        self.each: tuple[int, ...] = ()

    def add(self, features: Tensor) -> None:
        self.each, self.count = tuple(features.shape[1:]), self.count + len(features)
        try:
            self.file.write(features.half().cpu().contiguous().numpy().tobytes())
        except OSError as error:
            raise ValueError(
                f"train_images: features of every token need more than {tempfile.gettempdir()}"
                f" takes ({error.strerror}); set train_images=10000, or TMPDIR=DIR in the"
                " environment"
            ) from None

    def whole(self) -> Tensor:
        self.file.flush()
        shape = (self.count, *self.each)
        return torch.from_numpy(
            np.memmap(self.file, dtype=np.float16, mode="c", shape=shape)
        )  # c: torch wants it writable


@contextmanager
def frozen(model: nn.Module, device: str | torch.device) -> Iterator[nn.Module]:
    """Put ``model`` on ``device`` in eval mode, and back afterwards, each submodule as it was."""
    modes = {module: module.training for module in model.modules()}
    home = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    with ExitStack() as undo:
        if home is not None:
            undo.callback(model.to, home)
        undo.callback(_restore, modes)
        yield model.to(device).eval()


def _restore(modes: Mapping[nn.Module, bool]) -> None:
    for module, training in modes.items():
        module.training = training


def _check(images: Tensor, *, channels: int) -> None:
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise ValueError(
            f"images: must be uint8 (B, C, H, W), but are {images.dtype} {tuple(images.shape)};"
            " load them as uint8"
        )
    if images.shape[1] != channels:
        raise ValueError(
            f"mean, std: have {channels} values, but images have {images.shape[1]} channels; give"
            " one each"
        )
