"""Decide which folders are trained on and which are held out, as ``layout.py`` states the rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ssl_patches.data.class_folders import read_classes
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.placed import FEW, Images, Placed, count_of, in_folders
from ssl_patches.data.splits import held_of

SHOWN = 4  # names in a message


@dataclass(frozen=True, slots=True)
class Sides:
    """The folders that are divided. ``held`` None: by the hash of the path.

    ``without``: images of ``train`` that are held out too.
    """

    train: list[Placed]
    held: list[Placed] | None
    left: list[LeftOut]
    folders: str
    without: frozenset[int] = frozenset()


def decide_sides(placed: Sequence[Placed], *, told: bool) -> Sides:
    """Decide who is on which side. ``told``: that folders named like splits are the splits."""
    rest = [each for each in placed if each.side is None]
    train = [each for each in placed if each.side == "train"]
    held = held_of(each.side for each in placed)
    aside = [each for each in placed if held and each.side == held]
    left = _left([each for each in placed if each.side not in (None, "train", held)], _FOR_LATER)
    if held and train:
        beside = _left(rest, f"in none of {_named(train + aside)}")
        return Sides(train, aside, left + beside, _named(train, aside))
    if held:
        put_aside = [each for each in placed if each.side is not None]
        return _without_train(rest, aside, left, put_aside, told=told)
    if not train:
        return Sides(list(placed), None, [], "")
    return _train_alone(placed, rest, train, told=told)


_FOR_LATER = "test images are kept for later where there are validation images"


def _without_train(
    rest: list[Placed],
    aside: list[Placed],
    left: list[LeftOut],
    put_aside: list[Placed],
    *,
    told: bool,
) -> Sides:
    """Train on what is not put aside. ``put_aside``: ``aside``, and what is kept for later."""
    if not rest:
        later = [each for each in put_aside if each not in aside]
        if later:
            raise ValueError(
                f"data.root: all images lie in {_named(aside, later)}, which are put aside by their"
                " names, and there are none to train on; call the folder to train on train/, or set"
                " data.split_folders=false to take such names for any other"
            )
        raise ValueError(
            f"data.root: all images lie in {_named(aside)}, which is put aside by its name, and"
            " there are none to train on; set data.root to that folder itself to divide it, or"
            " data.split_folders=false to take its name for any other"
        )
    nested = [each for each in aside if each.group.count("/") > 1]
    if nested and not told:
        why = (
            f"put aside by the name of {_named(nested)}, with no train beside;"
            " data.split_folders=true evaluates on it, false takes it for any other folder"
        )
        return Sides(rest, None, left + _left(aside, why), "")
    if not told and _may_be_class(aside, rest):
        raise _two_ways(aside, rest, "is it a class, or put aside for testing?")
    return Sides(rest, aside, left, f"{_named(aside)}, and all else to train on")


def _train_alone(
    placed: Sequence[Placed], rest: list[Placed], train: list[Placed], *, told: bool
) -> Sides:
    """Divide train where nothing was put aside."""
    nested = any(each.group.count("/") > 1 for each in train)
    if nested and not told:
        return Sides(_plain(placed), None, [], "")
    if not told and _may_be_class(train, rest):
        raise _two_ways(train, rest, "is it a class, or all that is to be trained on?")
    left = _left(rest, f"not in {_named(train)}")
    return Sides(train, None, left, "")


def _plain(placed: Sequence[Placed]) -> list[Placed]:
    """Take names of splits as those of any other folder."""
    return [replace(each, side=None, group="", below=each.path) for each in placed]


def _may_be_class(some: Sequence[Placed], rest: Sequence[Placed]) -> bool:
    """Tell whether a folder named like a split reads as one class beside the others."""
    own = read_classes(some).classes
    others = any(each.depth == 1 for each in rest)
    alone = count_of(each for each in rest if each.depth == 0)
    if own or not others or alone > max(1, count_of(rest) // FEW):
        return False
    return any(each.depth == 0 for each in some)


def _two_ways(some: Sequence[Placed], rest: Sequence[Placed], question: str) -> ValueError:
    others = sorted({each.name for each in rest if each.depth})
    shown = ", ".join([f"{name}/" for name in others[:SHOWN]] + ["..."] * (len(others) > SHOWN))
    return ValueError(
        f"data.root: {_named(some)} ({count_of(some):,} images) stands beside {shown}"
        f" ({count_of(rest):,} images): {question} set data.split_folders=false for a class,"
        " data.split_folders=true for a split"
    )


def without_both(images: Images, sides: Sides, held: Sequence[Placed], most: int) -> Sides:
    """Take out of train what lies on both sides by links; ValueError for more than ``most``."""
    others, own = in_folders(images, held), in_folders(images, sides.train)
    twins = images.twins(own, others)
    if not twins:
        return sides
    both, (one, other) = [at for at, _ in twins], twins[0]
    first = f"{images.path_of(one)} is {images.path_of(other)}"
    if len(both) > most:
        raise ValueError(
            f"data.root: {len(both):,} files are both trained on and held out, by links ({first});"
            f" remove one of each, or set data.max_conflicts={len(both)} to hold them out only"
        )
    why = f"held out too, by links ({first}), so not trained on"
    left = [LeftOut(len(both), "images", images.path_of(both[0]), why)]
    return replace(sides, left=sides.left + left, without=frozenset(both))


def train_without(images: Images, sides: Sides) -> list[Placed]:
    """Return the folders of train as they are without what is held out too."""
    if not sides.without:
        return sides.train
    gone = Counter(int(images.folder_of[at]) for at in sides.without)
    found = []
    for each in sides.train:
        if gone[each.number] == 0:
            found.append(each)
        elif gone[each.number] < each.count:
            rest = in_folders(images, [each])
            first = next(at for at in rest.tolist() if at not in sides.without)
            count = each.count - gone[each.number]
            found.append(replace(each, count=count, least=images.path_of(first)))
    return sorted(found, key=lambda each: each.least)


def _left(placed: Sequence[Placed], why: str) -> list[LeftOut]:
    if not placed:
        return []
    return [LeftOut(count_of(placed), "images", min(each.least for each in placed), why)]


def _named(*parts: Sequence[Placed]) -> str:
    groups = [group for part in parts for group in sorted({each.group for each in part})]
    shown = groups[:SHOWN] + ["..."] * (len(groups) > SHOWN)
    return ", ".join(shown[:-1]) + (" and " if len(shown) > 1 else "") + shown[-1]
