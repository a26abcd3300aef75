"""Images with masks."""

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches.data import EmbeddedSource, FolderSource, MaskFolder, WithMasks
from ssl_patches.data.masks import HasMasks
from ssl_patches.data.module import ordered_loader

WIDE = (60, 40)  # width, height


def coordinates(size, scale=1):
    """A picture whose red is its x and whose green is its y, in pixels of the image."""
    width, height = size
    y, x = np.mgrid[:height, :width] // scale
    return x.astype(np.uint8), y.astype(np.uint8)


def write(root, split="train", name="a", size=WIDE, ids=None, mode="L"):
    x, y = coordinates(size)
    for side in ("images", "masks"):
        (root / split / side).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([x, y, 0 * x], -1)).save(root / split / "images" / f"{name}.png")
    ids = (x // 10 if ids is None else ids).astype(np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(ids)
    if mode == "P":
        image.putpalette([(37 * value) % 256 for value in range(768)])  # same bytes, other colours
    elif mode != image.mode:
        image = image.convert(mode)
    assert image.mode == mode
    image.save(root / split / "masks" / f"{name}.png")
    return root


def folder(root, split="train", **options):
    return MaskFolder(root=str(root), split=split, image_size=20, **({"load_size": 40} | options))


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_image_and_mask_show_the_same_square_and_ids_are_read_as_stored(tmp_path, mode):
    source = folder(write(tmp_path, mode=mode))
    image, label, index = source[0]
    assert (label, index, image.shape) == (-1, 0, (3, 40, 40))
    assert torch.equal(source.mask(0), (image[0] // 10).to(torch.int16))


@pytest.mark.parametrize("scale", [2, 3])
def test_a_mask_of_another_size_keeps_its_own_and_still_shows_the_same_square(tmp_path, scale):
    x, _ = coordinates((WIDE[0] * scale, WIDE[1] * scale), scale)
    source = folder(write(tmp_path, ids=x // 10))
    mask = source.mask(0)
    assert mask.shape == (40 * scale, 40 * scale)
    middle = mask[scale // 2 :: scale, scale // 2 :: scale]
    assert torch.equal(middle, (source[0][0][0] // 10).to(torch.int16))


def test_masks_of_several_sizes_are_brought_to_one_without_new_ids(tmp_path):
    for name, scale in (("a", 1), ("b", 2), ("c", 2)):
        x, _ = coordinates((60 * scale, 40 * scale), scale)
        write(tmp_path, name=name, ids=7 * (x // 30))
    source = folder(tmp_path)
    batch = next(iter(ordered_loader(WithMasks(source), batch_size=3, num_workers=0)))
    assert batch.labels.shape == (3, 80, 80)
    assert batch.labels.unique().tolist() == [0, 7]
    assert torch.equal(batch.labels[0], batch.labels[1])


def test_unlabelled_ids_become_minus_one_and_have_no_name(tmp_path):
    write(tmp_path, ids=np.full((40, 60), 3) + (np.arange(60) // 30))
    (tmp_path / "classes.txt").write_text("0 sky\n3 big road\n4 void\n\n")
    source = folder(tmp_path, void=[4], objects=[3])
    assert source.mask_classes == ["sky", "class 1", "class 2", "big road"]
    assert source.mask(0).unique().tolist() == [-1, 3]


def test_without_a_list_the_classes_are_those_of_the_training_masks(tmp_path):
    write(tmp_path)
    write(tmp_path, split="test", ids=np.zeros((40, 60)))
    assert folder(tmp_path, "val").mask_classes == [f"class {label}" for label in range(6)]


def test_an_id_without_a_name_is_told_with_its_file(tmp_path):
    write(tmp_path, ids=np.full((40, 60), 9))
    (tmp_path / "classes.txt").write_text("0 a\n1 b\n")
    with pytest.raises(ValueError, match=r"a\.png holds id 9.*data\.void"):
        folder(tmp_path).mask(0)


def test_val_and_test_stand_in_for_each_other_and_train_does_not(tmp_path):
    write(tmp_path)
    write(tmp_path, split="test", name="t")
    assert (
        folder(tmp_path, "val", held_out="val").paths
        == folder(tmp_path, "val").paths
        != folder(tmp_path).paths
    )
    write(tmp_path, split="val", name="v")
    assert folder(tmp_path, "val", held_out="val").paths[0].endswith("v.png")
    assert folder(tmp_path, "val").paths[0].endswith("t.png")


def test_bad_pairs_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"images does not exist"):
        folder(tmp_path)
    write(tmp_path, name="b")
    write(tmp_path, name="a")
    (tmp_path / "train" / "masks" / "b.png").unlink()
    with pytest.raises(ValueError, match=r"masks has no b\.\*"):
        folder(tmp_path)
    write(tmp_path, name="b", ids=np.zeros((40, 40)))
    with pytest.raises(ValueError, match="40x40 and its image 60x40"):
        folder(tmp_path)
    (tmp_path / "train" / "masks" / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"b\.png cannot be read"):
        folder(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("split", "test"), ("held_out", "train"), ("channels", 4), ("objects", [6])]
)
def test_values_out_of_range_are_refused(tmp_path, key, value):
    with pytest.raises(ValueError, match=rf"data\.{key}="):
        folder(write(tmp_path), **({"split": "train"} | {key: value}))


def test_a_damaged_image_is_refused_and_never_replaced(tmp_path):
    write(tmp_path)
    path = tmp_path / "train" / "images" / "a.png"
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(ValueError, match=r"a\.png"):
        folder(tmp_path)[0]


def test_the_fingerprint_knows_the_files_and_what_counts_as_unlabelled(tmp_path):
    first = folder(write(tmp_path)).fingerprint()
    assert folder(tmp_path).fingerprint() == first
    assert folder(tmp_path, void=[1]).fingerprint() != first
    assert folder(write(tmp_path, name="b")).fingerprint() != first


def test_the_embedded_images_have_masks_too_and_parts_lie_where_the_picture_shows_them():
    source = EmbeddedSource(split="val", count=4, image_size=48)
    assert isinstance(source, HasMasks)
    image, mask, index = WithMasks(source)[2]
    assert (mask.dtype, mask.shape, index) == (torch.int16, (48, 48), 2)
    assert set(mask.unique().tolist()) < {0, *source.objects}
    assert (len(mask.unique()), len(source.mask_classes)) == (4, 11)  # three kinds of parts of ten
    assert torch.equal(image, source[2][0])


def test_a_source_without_masks_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="has no masks"):
        WithMasks(
            FolderSource(
                root=str(tmp_path / "train" / "images"), split="train", image_size=20, load_size=20
            )
        )


def test_an_image_that_is_to_be_turned_is_refused_because_its_mask_would_not_be(tmp_path):
    write(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "train" / "images" / "a.png"
    with Image.open(path) as image:
        image.save(path, exif=exif)
    with pytest.raises(ValueError, match=r"a\.png states an orientation.*store both upright"):
        folder(tmp_path)


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_a_split_that_is_neither_trained_nor_evaluated_on_is_told(tmp_path, held_out):
    for split, count in (("train", 1), ("val", 2), ("test", 3)):
        for at in range(count):
            write(tmp_path, split, name=f"{at}")
    train, val = (folder(tmp_path, split, held_out=held_out) for split in ("train", "val"))
    other, count = ("val", 2) if held_out == "test" else ("test", 3)
    assert len(val) == 5 - count
    line = f"{count} images ({other}/images/0.png, ...) not used: data.held_out={other} evaluates"
    assert [source.remarks[0][: len(line)] for source in (train, val)] == [line, line]
