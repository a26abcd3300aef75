"""No image and no label of a shard goes without a word, whatever lies beside it."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path

import pytest
from shard_files import write_tar

from ssl_patches.data.left_out import Aside
from ssl_patches.data.shards.samples import NO_CLASS, OTHER_IMAGE, read_label, samples_of_tar


def read(path: Path):
    left, unlabelled = Aside(), Aside()
    with path.open("rb") as file:
        return list(samples_of_tar(file, left, unlabelled)), left, unlabelled


@pytest.mark.parametrize(
    ("said", "label"),
    [
        *((3, 3), (3.0, 3), (b"3", 3), (" 3 ", 3), (True, 1), ("cat", "cat"), (b"cat", "cat")),
        *(
            (None, None),
            (-1, None),
            ("", None),
            (float("nan"), None),
            (b"-1", None),
            ("1_0", "1_0"),
        ),
    ],
)
def test_a_label_is_a_number_or_text_however_it_is_written(said: object, label: object) -> None:
    found = read_label(said)
    assert (found, type(found)) == (label, type(label))


@pytest.mark.parametrize("said", [[1, 2], {"a": 1}, 0.5, -7, 2**60, float("inf"), b"\xff"])
def test_what_is_no_class_is_counted_and_never_taken(said: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{NO_CLASS}|decode"):
        read_label(said)
    if isinstance(said, bytes):
        return
    write_tar(tmp_path / "a.tar", {"0.jpg": b"x", "0.json": json.dumps({"label": said}).encode()})
    (sample,), _, unlabelled = read(tmp_path / "a.tar")
    assert sample.label is None
    assert unlabelled.found == {("images", NO_CLASS): (1, "0.jpg")}


@pytest.mark.parametrize("seed", range(12))
def test_every_image_is_a_sample_or_counted(seed: int, tmp_path: Path) -> None:
    """In any order of the members: the plain picture is the image, what lies beside is counted."""
    draw = random.Random(seed)
    files: dict[str, bytes] = {}
    beside = 0
    for at in range(9):
        some = draw.sample(["mask.png", "seg.png", "npy", "depth.tif"], draw.randint(0, 3))
        beside += len(some)
        names = [f"{at}.{ending}" for ending in (draw.choice(["jpg", "png", "webp"]), *some, "cls")]
        draw.shuffle(names)
        files |= {name: b"7" if name.endswith("cls") else b"x" for name in names}
    write_tar(tmp_path / "a.tar", files)
    samples, left, _ = read(tmp_path / "a.tar")
    assert [sample.name.count(".") for sample in samples] == [1] * 9
    assert not any(sample.name.endswith("npy") for sample in samples)
    assert {sample.label for sample in samples} == {7}
    assert sum(count for count, _ in left.found.values()) == beside
    assert {why for _, why in left.found} <= {OTHER_IMAGE}


def test_what_other_programs_leave_and_links_are_no_samples(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "a.tar",
        {"0.jpg": b"x", "._0.jpg": b"y", "__MACOSX/1.jpg": b"z", ".d.jpg": b"", "2.nef": b""},
    )
    with tarfile.open(tmp_path / "a.tar", "a") as opened:
        link = tarfile.TarInfo("3.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "0.jpg"
        opened.addfile(link, io.BytesIO())
    samples, left, _ = read(tmp_path / "a.tar")
    assert [sample.name for sample in samples] == ["0.jpg"]
    assert {example: why for (_, why), (_, example) in left.found.items()} == {
        "._0.jpg": "left by another program",
        ".d.jpg": "hidden",
        "2.nef": ".nef is no format that is read here",
        "3.jpg": "a link or device in a tar",
    } | {"._0.jpg": "left by another program"}
    assert sum(count for count, _ in left.found.values()) == 5


def test_two_labels_that_differ_are_a_contradiction(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "a.tar",
        {
            **{"0.jpg": b"", "0.cls": b"1", "0.json": b'{"label": 2}'},
            **{"1.jpg": b"", "1.cls": b"1", "1.json": b'{"label": "1"}'},
            **{"2.jpg": b"", "2.cls": b"1", "2.json": b'{"label": -1}'},
        },
    )
    samples, _, _ = read(tmp_path / "a.tar")
    found = [(sample.label, sample.contradicts) for sample in samples]
    assert found == [(None, True), (1, False), (1, False)]
