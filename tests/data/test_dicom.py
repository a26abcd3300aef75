"""DICOM becomes the pixels that its header says, and pydicom's own values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode, deep_samples
from ssl_patches.data.headers import header
from ssl_patches.data.traits import traits_of

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage  # noqa: E402


def written(folder: Path, values: np.ndarray, **tags: object) -> str:
    """A file that pydicom writes: (H, W) or (F, H, W) grey, (H, W, 3) colour."""
    kind = str(tags.pop("PhotometricInterpretation", "MONOCHROME2"))
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    if values.ndim == 3 and kind.startswith("MONO"):
        image.NumberOfFrames = len(values)
    colour = values.ndim == 3 and not kind.startswith("MONO")
    image.Rows, image.Columns = values.shape[:2] if colour else values.shape[-2:]
    image.SamplesPerPixel = 3 if colour else 1
    if colour:
        image.PlanarConfiguration = 0
    bits = 8 * values.dtype.itemsize
    image.PhotometricInterpretation = kind
    image.BitsAllocated, image.BitsStored, image.HighBit = bits, bits, bits - 1
    image.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in tags.items():
        setattr(image, name, value)
    image.HighBit = image.BitsStored - 1
    image.PixelData = values.tobytes()
    path = folder / "a.dcm"
    image.save_as(path, enforce_file_format=True)
    return str(path)


def grey(path: str, size: int = 4, **options) -> np.ndarray:
    return decode(path, channels=1, size=size, **options)[0].numpy()


RAMP = (np.arange(16, dtype=np.uint16) * 256).reshape(4, 4)  # 0..3840


def test_bits_that_are_stated_say_what_is_white(tmp_path):
    path = written(tmp_path, RAMP, BitsStored=12)
    assert header(path, channels=1) == (4, 4)
    assert np.array_equal(grey(path), np.rint(RAMP * (255 / 4095)))


def test_eight_bits_are_levels(tmp_path):
    values = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    assert np.array_equal(grey(written(tmp_path, values)), values)


def test_monochrome1_is_inverted(tmp_path):
    plain = grey(written(tmp_path, RAMP, BitsStored=12))
    told = {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}
    assert np.array_equal(grey(written(tmp_path, RAMP, **told)), 255 - plain)


HU = {"RescaleSlope": "2", "RescaleIntercept": "-1024"}


def test_rescaled_values_are_what_a_range_speaks_of(tmp_path):
    path = written(tmp_path, RAMP // 2, **HU)
    units = (RAMP // 2) * 2.0 - 1024
    shown = np.clip((units + 1000) / 1400 * 255, 0, 255)
    assert np.abs(grey(path, value_range=(-1000, 400)) - shown).max() <= 0.5
    assert np.array_equal(deep_samples(path, channels=1)[0], units)


def test_without_a_range_the_window_of_the_file_counts(tmp_path):
    path = written(tmp_path, RAMP // 2, **HU, WindowCenter=[100, 5], WindowWidth=[401, 2])
    units = (RAMP // 2) * 2.0 - 1024
    shown = np.clip((units - 99.5) / 400 + 0.5, 0, 1) * 255  # PS3.3 C.11.2.1.2.1
    assert np.abs(grey(path) - shown).max() <= 0.5


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_functions_of_windows_are_those_of_pydicom(tmp_path, function):
    told = {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": function}
    path = written(tmp_path, RAMP, BitsStored=12, **told)
    file = pydicom.dcmread(path)
    seen = pydicom.pixels.apply_windowing(file.pixel_array, file) / 4095 * 255
    assert np.abs(grey(path) - seen).max() <= 1


def test_rescaled_values_without_window_and_range_are_refused(tmp_path):
    with pytest.raises(UnreadableImage, match=r"data.value_range"):
        grey(written(tmp_path, RAMP, **HU))


def test_padding_is_black(tmp_path):
    values = RAMP.copy()
    values[0, 0] = 4095
    shown = grey(written(tmp_path, values, BitsStored=12, PixelPaddingValue=4095))
    assert shown[0, 0] == 0
    assert shown[3, 3] == round(3840 / 4095 * 255)


def test_colour_is_rgb(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    path = written(tmp_path, values, PhotometricInterpretation="RGB")
    pixels = decode(path, channels=3, size=4).numpy()
    assert np.array_equal(pixels, values.transpose(2, 0, 1))
    assert traits_of(path).channels == 3


def test_frames_are_channels_or_refused(tmp_path):
    values = np.stack([RAMP, RAMP // 2, RAMP // 4, RAMP // 8])
    path = written(tmp_path, values, BitsStored=12)
    found = deep_samples(path, channels=4)
    assert np.array_equal(found, values)
    for channels in (1, 3):
        with pytest.raises(UnreadableImage, match=r"4 frames.*data.channels=4"):
            decode(path, channels=channels, size=4)
        with pytest.raises(UnreadableImage, match=r"4 frames.*data.channels=4"):
            header(path, channels=channels)


@pytest.mark.parametrize("keep", [131, 200, -9])
def test_a_file_cut_short_is_damaged(tmp_path, keep):
    path = Path(written(tmp_path, RAMP, BitsStored=12))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableImage):
        grey(str(path))


def test_a_header_that_states_too_much_is_not_decoded(tmp_path):
    path = written(tmp_path, RAMP, BitsStored=12)
    file = pydicom.dcmread(path)
    file.Rows = file.Columns = 65535
    file.NumberOfFrames = 100
    file.save_as(path)
    with pytest.raises(UnreadableImage):
        header(path, channels=1)
