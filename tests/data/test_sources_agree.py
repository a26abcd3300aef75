"""The same bytes are the same pixels in every source: one decoder, one range, one way up."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shard_files import write_tar

from ssl_patches.data import FolderSource, HuggingFaceSource, ManifestSource, ShardSource
from ssl_patches.data.decode import decode
from ssl_patches.data.items import ItemSource

SIDE = 24
RGB = np.stack(np.meshgrid(np.arange(30), np.arange(40)), -1) * 6
RGB = np.concatenate([RGB, 255 - RGB[..., :1]], -1).astype(np.uint8)
DEEP = (RGB[..., 0].astype(np.uint16) * 16) + 7


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[274] = orientation
    return found


def tiff(values: np.ndarray, **options: object) -> bytes:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def odd_files() -> dict[str, bytes]:
    colour, grey = Image.fromarray(RGB), Image.fromarray(RGB[..., 0])
    clear = Image.fromarray(np.dstack([RGB, RGB[..., 1]]))
    files = {f"turned{at}.jpg": encoded(colour, "JPEG", exif=exif(at)) for at in range(2, 9)}
    files |= {
        "turned.png": encoded(colour, "PNG", exif=exif(6)),
        "turned.webp": encoded(colour, "WEBP", exif=exif(8), lossless=True),
        "cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "clear.png": encoded(clear, "PNG"),
        "clear.webp": encoded(clear, "WEBP", lossless=True),
        "palette.png": encoded(colour.quantize(7), "PNG", transparency=2),
        "grey_alpha.png": encoded(clear.convert("LA"), "PNG"),
        "animated.gif": encoded(
            colour.quantize(9), "GIF", save_all=True, append_images=[grey.quantize(9)]
        ),
        "deep.png": encoded(Image.fromarray(DEEP), "PNG"),
        "deep.tif": tiff(DEEP),
        "planes.tif": tiff(RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        "white.tif": tiff(RGB[..., 0], photometric="miniswhite"),
        "big.tif": tiff(RGB.astype(np.uint16) * 16, photometric="rgb", bigtiff=True),
    }
    return files


def all_of(source: object, names: list[str]) -> dict[str, torch.Tensor]:
    return {name: source[at][0] for at, name in enumerate(names)}


def through(kind: str, files: dict[str, bytes], place: Path, options: dict) -> dict:
    """Read all files through one kind of source, those of train and val together."""
    names, found = sorted(files), {}
    options = {**options, "image_size": SIDE, "load_size": SIDE}
    images = place / "images"
    images.mkdir()
    for name in names:
        (images / name).write_bytes(files[name])
    if kind == "list":
        (place / "list.txt").write_text("\n".join(names))
    if kind == "tar":
        samples = {
            f"{at:02}.{name.rpartition('.')[2]}": files[name] for at, name in enumerate(names)
        }
        (place / "shards").mkdir()
        write_tar(place / "shards" / "a.tar", samples)
    if kind == "huggingface":
        datasets = pytest.importorskip("datasets")
        cells = [{"bytes": files[name], "path": name} for name in names]
        features = datasets.Features({"image": datasets.Image()})
        datasets.Dataset.from_dict({"image": cells}, features).save_to_disk(place / "arrow")
    for split in ("train", "val"):
        if kind == "folder":
            source = FolderSource(root=str(images), split=split, **options)
            known = list(source.known_as)
        elif kind == "list":
            source = ManifestSource(
                path=str(place / "list.txt"), root=str(images), split=split, **options
            )
            known = list(source.known_as)
        elif kind == "tar":
            kept = str(place / "kept")
            source = ShardSource(path=str(place / "shards"), split=split, shard_dir=kept, **options)
            known = [names[int(name[:2])] for name in source.known_as]
        else:
            source = HuggingFaceSource(path=str(place / "arrow"), split=split, **options)
            known = [names[int(name.rpartition("/")[2])] for name in source.known_as]
        found |= all_of(source, known)
    return found


@pytest.mark.parametrize("value_range", [None, [0, 4095]])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["folder", "list", "tar", "huggingface"])
def test_any_source_gives_what_the_file_gives(
    kind: str, channels: int, value_range: list[int] | None, tmp_path: Path
) -> None:
    files = odd_files()
    options = {"channels": channels, "value_range": value_range}
    found = through(kind, files, tmp_path, options)
    assert sorted(found) == sorted(files)
    for name, pixels in found.items():
        alone = decode(str(tmp_path / "images" / name), size=SIDE, **options)
        assert torch.equal(pixels, alone), name


@pytest.mark.parametrize("channels", [1, 3])
def test_a_dataset_of_pictures_gives_what_their_files_give(channels: int, tmp_path: Path) -> None:
    """Pictures that Pillow has opened and not read yet; those of tifffile are no such pictures."""
    files = {name: data for name, data in odd_files().items() if not name.endswith(".tif")}

    class Pictures:
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, at: int) -> Image.Image:
            return Image.open(tmp_path / sorted(files)[at])

    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    source = ItemSource(
        Pictures(),
        where="data=own",
        split="train",
        image_size=SIDE,
        load_size=SIDE,
        channels=channels,
        divide=False,
        apart=False,
    )
    for at, name in enumerate(sorted(files)):
        alone = decode(str(tmp_path / name), channels=channels, size=SIDE).int()
        # simplejpeg and Pillow resize alike up to a level
        assert (source[at][0].int() - alone).abs().max() <= 1, name
