"""A folder is read as what it is: its splits, its classes, its damage."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches.data.folder import FolderSource
from ssl_patches.data.layout import find_images, place
from ssl_patches.data.module import PatchDataModule, ordered_loader


def put(root: Path, *paths: str, side: int = 12) -> None:
    """Images of noise, each a different one."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(path.encode()))
        Image.fromarray(rng.integers(0, 256, (side, side + 3, 3), dtype=np.uint8)).save(root / path)


def many(pattern: str, count: int) -> list[str]:
    return [pattern.format(i) for i in range(count)]


def source(root: Path, split: str = "train", **options: object) -> FolderSource:
    return FolderSource(**{"root": str(root), "split": split, "image_size": 8, **options})


def names(data: FolderSource) -> list[str]:
    return [os.path.relpath(path, data.root).replace(os.sep, "/") for path in data.paths]


def truncate(path: Path) -> None:
    """The header stays, the last part of the pixels goes."""
    path.write_bytes(path.read_bytes()[:-40])


# --- layouts


@pytest.mark.parametrize("held", ["val", "test"])
def test_train_and_val_folders_are_the_splits_and_share_class_numbers(
    tmp_path: Path, held: str
) -> None:
    put(
        tmp_path,
        "train/cat/0.png",
        "train/ant/0.png",
        "train/bee/1.png",
        f"{held}/cat/7.png",
        f"{held}/bee/8.png",
    )
    train, val = source(tmp_path), source(tmp_path, "val")
    assert (names(train), train.labels.tolist()) == (
        ["train/ant/0.png", "train/bee/1.png", "train/cat/0.png"],
        [0, 1, 2],
    )
    assert (names(val), val.labels.tolist()) == ([f"{held}/bee/8.png", f"{held}/cat/7.png"], [1, 2])
    assert train.classes == val.classes == ["ant", "bee", "cat"]
    assert train.labels.dtype == torch.int64
    assert f"train/ and {held}/" in val.split_rule


def test_val_is_preferred_to_test(tmp_path: Path) -> None:
    put(tmp_path, "train/a.png", "val/b.png", "test/c.png")
    assert names(source(tmp_path, "val")) == ["val/b.png"]


def test_a_flat_labelled_folder_is_split_80_to_20_by_the_rule_it_states(tmp_path: Path) -> None:
    put(tmp_path, *many("ant/{}.png", 60), *many("bee/{}.png", 60))
    train, val = source(tmp_path), source(tmp_path, "val")
    assert "sha256" in train.split_rule
    assert "< 20" in train.split_rule
    assert set(names(val)) == {path for path in names(train) + names(val) if place(path) < 20}
    assert len(set(names(train)) | set(names(val))) == len(train) + len(val) == 120
    assert 12 <= len(val) <= 36
    assert set(val.labels.tolist()) == {0, 1}


def test_the_rule_is_pinned_and_uniform() -> None:
    """Another machine, another release: the same images are held out."""
    assert [place(path) for path in ("a.png", "cat/0001.jpg", "ä/ö.png")] == [45, 49, 43]
    assert abs(np.mean([place(f"{i}.jpg") < 20 for i in range(5000)]) - 0.2) < 0.02


def test_adding_images_moves_none_to_the_other_side(tmp_path: Path) -> None:
    put(tmp_path, *many("x/{}.png", 40))
    before = set(names(source(tmp_path, "val")))
    put(tmp_path, *many("y/z/{}.png", 40))
    after = set(names(source(tmp_path, "val")))
    assert {path for path in after if path.startswith("x/")} == before


@pytest.mark.parametrize(
    "paths",
    [
        many("{}.png", 6),
        many("a/b/{}.png", 6),
        [*many("a/{}.png", 3), *many("b/{}.png", 3), "c.png"],
        [*many("a/{}.png", 3), *many("b/c/{}.png", 3)],
        many("only/{}.png", 6),
        [*many("val/{}.png", 3), *many("test/{}.png", 3)],
        [*many("train/{}.png", 3), "val/9.png"],
        [*many("train/a/{}.png", 3), "train/9.png", "val/9.png"],
    ],
)
def test_any_other_nesting_is_unlabelled(tmp_path: Path, paths: list[str]) -> None:
    put(tmp_path, *paths)
    for split in ("train", "val"):
        data = source(tmp_path, split)
        assert (data.classes, set(data.labels.tolist())) == ([], {-1})
        assert data.split_rule.startswith("unlabelled")


def test_unlabelled_images_are_trained_on_but_for_a_twentieth(tmp_path: Path) -> None:
    put(tmp_path, *many("{}/deep/er.png", 200))
    train, val = source(tmp_path), source(tmp_path, "val")
    assert set(names(val)) == {path for path in names(train) + names(val) if place(path) < 5}
    assert len(train) + len(val) == 200


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_small_folder_leaves_no_side_empty(tmp_path: Path, count: int, labelled: bool) -> None:
    put(
        tmp_path,
        *(
            many("a/{}.png", count) + many("b/{}.png", count)
            if labelled
            else many("{}.png", count + 1)
        ),
    )
    assert len(source(tmp_path)) > 0
    assert len(source(tmp_path, "val")) > 0


def test_train_alone_is_divided_like_a_flat_folder(tmp_path: Path) -> None:
    put(tmp_path, *many("train/a/{}.png", 30), *many("train/b/{}.png", 30))
    train, val = source(tmp_path), source(tmp_path, "val")
    assert not set(names(train)) & set(names(val))
    assert train.classes == val.classes == ["a", "b"]
    assert set(names(val)) == {
        path for path in names(train) + names(val) if place(path.removeprefix("train/")) < 20
    }


def test_unlabelled_training_images_may_have_a_labelled_val(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "val/a/1.png", "val/b/1.png")
    assert source(tmp_path).labels.tolist() == [-1]
    assert source(tmp_path, "val").labels.tolist() == [0, 1]


def test_a_class_unknown_to_train_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/zebra/1.png")
    with pytest.raises(ValueError, match="val/zebra is a class that train/ has not"):
        source(tmp_path, "val")


def test_masks_beside_images_are_not_trained_on(tmp_path: Path) -> None:
    put(tmp_path, "train/images/1.png", "train/masks/1.png", "val/images/2.png", "val/masks/2.png")
    train = source(tmp_path)
    assert (names(train), train.classes) == (["train/images/1.png"], [])
    put(tmp_path, "other/masks/1.png", "other/faces/1.png")
    assert source(tmp_path / "other").classes == ["faces", "masks"]


def test_hidden_files_are_ignored_others_counted_links_followed_and_loops_left(
    tmp_path: Path,
) -> None:
    put(tmp_path / "far", "x.png")
    root = tmp_path / "root"
    put(root, "b/2.PNG", "a/1.jpeg", ".cache/3.png", "a/._1.jpeg")
    (root / "a" / "notes.txt").write_text("no image")
    (root / "link").symlink_to(tmp_path / "far")
    (root / "a" / "loop").symlink_to(root)
    images, others = find_images(str(root))
    assert ([file.path for file in images], others) == (["a/1.jpeg", "b/2.PNG", "link/x.png"], 1)


# --- items


def test_items_are_squares_with_label_and_index(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png")
    data = source(tmp_path, channels=1, load_size=10)
    image, label, index = data[1]
    assert (image.shape, image.dtype, label, index) == ((1, 10, 10), torch.uint8, 1, 1)
    assert len(list(data)) == 2  # iterating ends: IndexError beyond the last
    with pytest.raises(IndexError):
        data[-1]


@pytest.mark.parametrize(("side", "expected"), [(5, 8), (12, 12), (50, 16)])
def test_load_size_is_the_median_side_within_one_and_two_image_sizes(
    tmp_path: Path, side: int, expected: int
) -> None:
    put(tmp_path, *many("train/{}.png", 3), side=side)
    put(tmp_path, "train/other.png", "val/1.png", side=400)
    assert source(tmp_path).load_size == expected
    assert source(tmp_path)[0][0].shape == (3, expected, expected)


def test_the_fingerprint_knows_names_and_sizes_but_not_the_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(tmp_path / name, *many("train/{}.png", 3), "val/1.png")
    one, two = (source(tmp_path / name).fingerprint() for name in ("one", "two"))
    assert one == two
    assert source(tmp_path / "one", "val").fingerprint() != one
    put(tmp_path / "two", "train/1.png", side=13)
    assert source(tmp_path / "two").fingerprint() != one


# --- damage


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """40 images; four fail by their header, and three by their pixels: 10, 11 and the last."""
    put(tmp_path, *many("train/{:02}.png", 36), *many("train/{:02}.jpg", 4), "val/1.png")
    (tmp_path / "train/01.jpg").write_bytes(
        bytes(np.random.default_rng(0).integers(0, 256, 900, dtype=np.uint8))
    )
    (tmp_path / "train/02.jpg").write_bytes(b"")
    (tmp_path / "train/03.png").write_text("this is not an image")
    (tmp_path / "train/04.png").unlink()
    (tmp_path / "train/04.png").symlink_to(tmp_path / "gone.png")
    put(tmp_path, "train/10.jpg", "train/11.jpg", "train/99.jpg", side=40)
    for name in ("10.jpg", "11.jpg", "99.jpg"):
        truncate(tmp_path / "train" / name)
    return tmp_path


def test_files_with_a_broken_header_are_left_out_and_listed_with_the_reason(damaged: Path) -> None:
    data = source(damaged, max_corrupt=0.5)
    listed = {os.path.basename(path): reason for path, reason in data.corrupt}
    assert set(listed) == {"01.jpg", "02.jpg", "03.png", "04.png"}
    assert "cannot identify" in listed["03.png"]
    assert "No such file" in listed["04.png"]
    assert not {path for path, _ in data.corrupt} & set(data.paths)
    assert len(data) == 39
    assert len(data.labels) == 39


def test_broken_pixels_are_replaced_by_the_next_readable_image(damaged: Path) -> None:
    """10.jpg and the last file: the next is another file, and after the last comes the first."""
    data = source(damaged, max_corrupt=0.5)
    bases = [os.path.basename(path) for path in data.paths]
    for broken, replacement in (("10.jpg", "10.png"), ("11.jpg", "11.png"), ("99.jpg", "00.jpg")):
        at, instead = bases.index(broken), bases.index(replacement)
        image, _, index = data[at]
        assert index == instead
        assert torch.equal(image, data[instead][0])


def test_the_main_process_learns_what_workers_could_not_read(damaged: Path) -> None:
    data = source(damaged, max_corrupt=0.5)
    assert len(data.unreadable()) == 4
    shown = torch.cat(
        [batch.index for batch in ordered_loader(data, batch_size=4, num_workers=2)]
    ).tolist()
    late = {os.path.basename(path): reason for path, reason in data.unreadable()[4:]}
    assert set(late) == {"10.jpg", "11.jpg", "99.jpg"}
    assert all("truncated" in reason for reason in late.values())
    assert sorted(set(range(39)) - set(shown)) == [
        i for i, p in enumerate(data.paths) if os.path.basename(p) in late
    ]


def test_the_stream_is_the_same_whichever_worker_meets_the_damage(damaged: Path) -> None:
    def stream(workers: int) -> list[torch.Tensor]:
        data = source(damaged, max_corrupt=0.5)
        module = PatchDataModule(train=data, val=None, batch_size=5, num_workers=workers, seed=0)
        return [
            batch.images for _, batch in zip(range(16), module.train_dataloader(), strict=False)
        ]

    assert all(torch.equal(a, b) for a, b in zip(stream(0), stream(2), strict=True))


def test_too_many_broken_headers_are_refused_with_the_share_to_allow(damaged: Path) -> None:
    with pytest.raises(
        ValueError, match=r"data.max_corrupt=0.05: 4 of 43 images .*set data.max_corrupt=0.094"
    ) as error:
        source(damaged, max_corrupt=0.05)
    source(damaged, max_corrupt=float(re.findall(r"max_corrupt=([\d.]+) to", str(error.value))[0]))


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_broken_pixels_stop_the_run_from_any_worker(damaged: Path, workers: int) -> None:
    data = source(damaged, max_corrupt=0.15)  # 6 of 43 may be broken, the seventh may not
    with pytest.raises(ValueError, match=r"data.max_corrupt=0.15: 7 of 43"):
        list(ordered_loader(data, batch_size=4, num_workers=workers))


@pytest.mark.slow
def test_a_source_sent_to_a_spawned_worker_reports_back(damaged: Path) -> None:
    data = source(damaged, max_corrupt=0.5)
    loader = torch.utils.data.DataLoader(
        data, batch_size=13, num_workers=1, multiprocessing_context="spawn"
    )
    for _ in loader:
        pass
    assert len(data.unreadable()) == 7


def test_a_folder_where_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_text("x")
    with pytest.raises(ValueError, match=r"data.root=.* none of \d is .*cannot identify"):
        source(tmp_path, max_corrupt=0.99)


def test_a_folder_whose_pixels_are_all_broken_is_refused_when_read(tmp_path: Path) -> None:
    put(tmp_path, "train/1.jpg", "train/2.jpg", "val/1.jpg", side=40)
    truncate(tmp_path / "train/1.jpg")
    truncate(tmp_path / "train/2.jpg")
    with pytest.raises(ValueError, match=r"data.root=.*none of 2"):
        source(tmp_path, max_corrupt=0.99)[0]


# --- refusals


def test_a_missing_or_wrong_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"data.root=.*/nowhere: must be a folder of images, but does not exist; set",
    ):
        source(tmp_path / "nowhere")
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data.root=.*a.tar: .*unpack"):
        source(tmp_path / "a.tar")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(
        ValueError,
        match=r"data.root=.*must hold images for train, but has 0 images .* 1 other files",
    ):
        source(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "test"}, "data.split=test: must be train or val"),
        ({"channels": 4}, "data.channels=4: .*set data.channels=3"),
        ({"load_size": 7}, r"load_size=7: must be at least image_size \(8\)"),
        ({"max_corrupt": 1.0}, "data.max_corrupt=1.0"),
        ({"image_size": 0}, "image_size=0"),
    ],
)
def test_wrong_values_are_refused_by_key(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    put(tmp_path, *many("{}.png", 4))
    with pytest.raises(ValueError, match=said):
        source(tmp_path, **options)


def test_a_source_can_be_pickled(tmp_path: Path) -> None:
    put(tmp_path, *many("{}.png", 4))
    data = source(tmp_path)
    assert torch.equal(pickle.loads(pickle.dumps(data))[0][0], data[0][0])
