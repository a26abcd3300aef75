"""Images in shards, as tests of several files need them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.cli import main
from ssl_patches.data.shards import pack


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    """Write a tar file of these members, in their order."""
    with tarfile.open(path, "w") as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))


def pack_images(place: Path) -> Path:
    """Draw 60 images of 2 classes and pack them in shards of about 10, in ``place``/shards."""
    draw = np.random.default_rng(0)
    for at in range(60):
        file = place / "images" / "ab"[at % 2] / f"{at:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (24, 26, 3), dtype=np.uint8)).save(file)
    cut = pack._cut
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pack, "_cut", lambda files, most: cut(files, most // 50))
        words = [f"data.root={place}/images", f"output={place}/shards", "shard_mb=1"]
        assert main(["pack", *words]) == 0
    return place
