"""npz is read as npy is; what would be dropped is refused, and nothing of it is run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode, deep_samples
from ssl_patches.data.headers import header
from ssl_patches.data.traits import traits_of

PIXELS = np.random.default_rng(0).integers(0, 65536, (6, 8, 5)).astype(np.uint16)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["arr_0", "image", "anything"])
def test_it_gives_the_pixels_of_npy(tmp_path, write, name):
    write(tmp_path / "a.npz", **{name: PIXELS})
    np.save(tmp_path / "a.npy", PIXELS)
    npz, npy = str(tmp_path / "a.npz"), str(tmp_path / "a.npy")
    assert header(npz, channels=5) == header(npy, channels=5) == (8, 6)
    assert decode(npz, channels=5, size=6).equal(decode(npy, channels=5, size=6))
    assert np.array_equal(deep_samples(npz, channels=5), PIXELS.transpose(2, 0, 1))
    assert traits_of(npz).channels == 5


def test_of_several_arrays_the_one_called_image_is_read(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, label=np.zeros(3), image=PIXELS)
    assert header(path, channels=5) == (8, 6)
    np.savez(path, label=np.zeros(3), x=PIXELS)
    with pytest.raises(UnreadableImage, match="2 arrays and none called image"):
        header(path, channels=5)


def test_other_channels_are_refused_with_the_remedy(tmp_path):
    np.savez(tmp_path / "a.npz", PIXELS)
    with pytest.raises(UnreadableImage, match=r"data.channels=3"):
        decode(str(tmp_path / "a.npz"), channels=3, size=6)


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", np.array([[print]], object))
    with pytest.raises(UnreadableImage, match="Python objects"):
        decode(str(tmp_path / "a.npz"), channels=1, size=6)


@pytest.mark.parametrize("keep", [30, 100, -30])
def test_a_file_cut_short_is_damaged(tmp_path, keep):
    np.savez(tmp_path / "a.npz", PIXELS)
    path = Path(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableImage):
        decode(str(path), channels=5, size=6)
