"""Folders of every kind that ``data/layout.py`` tells apart, and how they read, as text.

``python tests/layouts.py > tests/fixtures/layouts.txt`` writes what is compared: look at what
changed, for runs on such folders train on other images from then on.
"""

from __future__ import annotations

from collections.abc import Iterator

from ssl_patches.data.layout import select
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.walk import ImageFile


def of(folder: str, count: int, first: int = 0) -> list[str]:
    """Paths of ``count`` images in a folder; "" is the folder that was named."""
    start = f"{folder}/" if folder else ""
    return [f"{start}{at}.png" for at in range(first, first + count)]


TWO = [*of("ant", 12), *of("bee", 8)]
FOLDERS: dict[str, list[str]] = {
    "two classes": TWO,
    "one image a class": [*of("ant", 1), *of("bee", 1)],
    "one image": of("", 1),
    "two images": of("", 2),
    "two odd of 22": [*TWO, *of("", 1), *of("ant/old", 1)],
    "three odd of 23": [*TWO, *of("", 1), *of("ant/old", 2)],
    "one odd of 3": [*of("ant", 1), *of("bee", 1), *of("", 1)],
    "two odd of 4": [*of("ant", 1), *of("bee", 1), *of("", 2)],
    "one class": of("ant", 9),
    "one class and some above": [*of("ant", 9), *of("", 5)],
    "deep": [*of("a/b", 5), *of("a/c", 5)],
    "deep, one folder": of("a/b", 9),
    "deep and flat": [*of("a/b", 5), *of("c/d", 5), *of("", 3)],
    "train and val": [*of("train", 9), *of("val", 4)],
    "train, val and test": [*of("train", 9), *of("val", 4), *of("test", 3)],
    "train and test, others beside": [*of("train", 9), *of("test", 4), *of("", 2), *of("more", 3)],
    "classes in train and val": [
        *[f"train/{path}" for path in TWO],
        *[f"val/{path}" for path in of("ant", 3)],
    ],
    "an unknown class in val": [
        *[f"train/{path}" for path in TWO],
        *of("val/cat", 3),
        *of("val/ant", 2),
        *of("val/dog", 1),
    ],
    "odd ones in val": [
        *[f"train/{path}" for path in TWO],
        *of("val/ant", 3),
        *of("val", 2),
        *of("val/bee/old", 2),
    ],
    "val without classes": [*[f"train/{path}" for path in TWO], *of("val", 4)],
    "train without classes": [*of("train", 9), *of("val/ant", 3), *of("val/bee", 3)],
    "odd ones in train": [
        *[f"train/{path}" for path in TWO],
        *of("train", 2),
        *of("val/ant", 2),
        *of("val/bee", 1),
    ],
    "train alone": [f"train/{path}" for path in TWO],
    "train alone, others above": [*[f"train/{path}" for path in TWO], *of("", 2)],
    "train among classes": [*of("ant", 9), *of("bee", 9), *of("train", 9)],
    "test among classes": [*of("ant", 9), *of("bee", 9), *of("test", 9), *of("dev", 2)],
    "test among many classes": [path for name in "abcdef" for path in of(name, 4)] + of("test", 4),
    "test among classes, one above": [*TWO, *of("test", 4), *of("", 1)],
    "test among classes, two above": [*TWO, *of("test", 4), *of("", 2)],
    "test among classes, three above": [*TWO, *of("test", 4), *of("", 3)],
    "test among deep ones": [*of("a/b", 9), *of("c/d", 9), *of("test", 4)],
    "classes in test, classes beside": [*TWO, *[f"test/{path}" for path in TWO]],
    "test below classes": [*of("ant", 9), *of("bee", 9), *of("ant/test", 2), *of("bee/test", 3)],
    "train below classes": [*of("ant", 9), *of("bee", 9), *of("ant/train", 2)],
    "train and test below classes": [
        *of("ant/train", 9),
        *of("bee/train", 9),
        *of("ant/test", 2),
        *of("bee/test", 3),
        *of("bee", 1),
    ],
    "both, below many": [
        path
        for name in ("a", "b", "c", "d", "e")
        for path in [*of(f"{name}/train", 3), *of(f"{name}/val", 2), *of(f"{name}/test", 1)]
    ],
    "test alone": of("test", 9),
    "val and test": [*of("val", 5), *of("test", 4)],
    "test above all": [*of("", 9), *of("test", 4)],
    "test with classes above all": [*of("", 9), *[f"test/{path}" for path in TWO]],
}
LINKED = [("train/0.png", 1), ("train/1.png", 2), ("train/2.png", 3), ("val/a.png", 2)]
TWICE = [*LINKED, ("train/3.png", 4), ("val/b.png", 4), ("val/c.png", 9)]


def files(paths: list[str]) -> list[ImageFile]:
    """Image files of one size, in the order of a listing."""
    return [ImageFile(path, 1) for path in sorted(paths)]


def linked(paths: list[tuple[str, int]]) -> list[ImageFile]:
    """Image files by the number that the system has for them."""
    return [ImageFile(path, 1, (0, number)) for path, number in sorted(paths)]


def read(found: list[ImageFile], split_folders: bool | None, most: int = 0) -> Iterator[str]:
    """Yield lines about both splits, or the refusal."""
    for split in ("train", "val"):
        try:
            chosen = select(found, split, split_folders=split_folders, max_conflicts=most)
        except ValueError as error:
            yield f"  {split}: refused: {error}"
            continue
        pairs = zip(chosen.files, chosen.names, strict=True)
        shown = " ".join(f"{file.path}={name or '-'}" for file, name in pairs)
        yield f"  {split}: {','.join(chosen.classes)} | {chosen.rule}"
        yield f"    {shown}"
        yield from (f"    left: {_left(each)}" for each in chosen.left)


def _left(each: LeftOut) -> str:
    return " | ".join(str(getattr(each, name)) for name in each.__slots__)


def text() -> str:
    """Return how every folder reads, asked for in three ways."""
    lines: list[str] = []
    for name, paths in FOLDERS.items():
        ways: dict[str, list[str]] = {}
        for told in (None, True, False):
            ways.setdefault("\n".join(read(files(paths), told)), []).append(str(told))
        for answer, told in ways.items():
            lines += [f"{name}, data.split_folders={', '.join(told)}", answer]
    for most in (0, 1, 2):
        for name, paths in (("one link", LINKED), ("two links", TWICE)):
            lines += [f"{name}, data.max_conflicts={most}", *read(linked(paths), None, most)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(text(), end="")
