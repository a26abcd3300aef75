"""Read labels as they are written in a list: classes, numbers, or none.

Text is a class, and so are numbers that are all whole; numbers with fractions stay numbers. What
can be read in two ways is never decided in silence:

* NaN, NA, None and the like among numbers are no label, which is told; among text they are classes;
* two spellings of one number (01 and 1) are refused until ``label_kind`` says what they are, and so
  are numbers that are not finite, and commas that may be of thousands or of decimals;
* classes that differ in upper case or in the way an accent is stored only are told.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

NUMBER = re.compile(r"[+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
MISSING = {"nan", "-nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none"}
"""What programs write where there is no number, in lower case."""


@dataclass(frozen=True, slots=True)
class LabelReading:
    """What the labels of a list mean.

    ``classes``: their names in order; empty where labels are amounts. ``numbers``: label as written
    -> number of the class, or amount; what stands for no label is not in it. ``remarks``: lines.
    """

    classes: list[str]
    numbers: Mapping[str, float]
    remarks: list[str] = field(default_factory=list)


def read_labels(fields: Sequence[str], kind: str | None, where: str) -> LabelReading:
    """Return what the labels ``fields`` of images mean, one of each image that has one.

    ``kind``: class or value; None: as they look. ``where``: the key and value that errors begin
    with. ValueError for what can be read in two ways, and for text where numbers are asked for.
    """
    missing, remarks = _missing(fields)
    told = [each for each in fields if each not in missing]
    numbers = numbers_in(told)
    if numbers is None:
        _refuse_almost_numbers(told, kind, where)
    whole = numbers is None or all(number.is_integer() for number in numbers)
    if numbers is not None and (kind == "value" or (kind is None and not whole)):
        return LabelReading([], dict(zip(told, numbers, strict=True)), remarks)
    classes = class_order(told)
    if numbers is not None and kind is None:
        _refuse_spellings(classes, where)
    number = {name: at for at, name in enumerate(classes)}
    return LabelReading(classes, number, [*remarks, *said_alike(classes)])


def numbers_in(fields: Sequence[str]) -> list[float] | None:
    """Return the fields as numbers, NaN for an empty one; None where one is no number.

    Commas of decimals count as points where every field then is a number, and none could be meant
    to separate thousands.
    """
    commas = any("," in field for field in fields) and not any("." in field for field in fields)
    if commas and _may_be_thousands(fields):
        return None
    plain = [field.replace(",", ".") if commas else field for field in fields]
    if not any(plain) or not all(NUMBER.fullmatch(field) for field in plain if field):
        return None
    return [float(field) if field else math.nan for field in plain]


def class_order(labels: Sequence[str]) -> list[str]:
    """Sort the classes: as numbers where all are numbers ("10" after "9").

    An empty label is no class.
    """
    names = sorted(set(labels) - {""})
    numbers = numbers_in(names)
    if numbers is None:
        return names
    return [name for _, name in sorted(zip(numbers, names, strict=True))]


def one_order(named: Sequence[Sequence[str]]) -> list[str]:
    """Return one order of the classes that several parts of the images name, each in its own."""
    if all(list(names) == list(named[0]) for names in named):
        return list(named[0])
    return class_order([name for names in named for name in names])


def said_alike(classes: Sequence[str]) -> list[str]:
    """Say which classes differ only in upper case or in the way that an accent is stored."""
    spelled: dict[str, list[str]] = {}
    for name in classes:
        spelled.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(name)
    twice = [names for names in spelled.values() if len(names) > 1]
    if not twice:
        return []
    one, other, *_ = twice[0]
    return [
        f"{len(twice):,} classes are spelled in two ways ('{one}' and '{other}') and count as"
        " different ones; write them alike if they are one"
    ]


def _missing(fields: Sequence[str]) -> tuple[set[str], list[str]]:
    """Return what stands for no label among numbers, and a line about it."""
    words = Counter(each for each in fields if each.lower() in MISSING)
    rest = [each for each in fields if each not in words]
    if not words or numbers_in(rest) is None:
        return set(), []
    count, first = sum(words.values()), next(iter(words))
    return set(words), [
        f"{count:,} images have '{first}' among numbers for a label, and count as unlabelled"
    ]


def _may_be_thousands(fields: Sequence[str]) -> bool:
    """Tell whether each comma may separate thousands: 1,250 is two numbers."""
    with_comma = [each for each in fields if "," in each]
    return all(THOUSANDS.fullmatch(each) for each in with_comma)


def _refuse_almost_numbers(fields: Sequence[str], kind: str | None, where: str) -> None:
    """Refuse labels that are no numbers where numbers are asked for, or seem to be meant."""
    infinite = [each for each in fields if INFINITE.fullmatch(each)]
    if infinite and numbers_in([each for each in fields if each not in infinite]) is not None:
        raise ValueError(
            f"{where}: has the label '{infinite[0]}' among numbers, which is not finite; leave it"
            " empty where there is none"
        )
    commas = [each for each in fields if "," in each]
    bare = [re.sub("[.,]", "", each) for each in fields]
    if kind != "class" and commas and numbers_in(bare) is not None:
        raise ValueError(
            f"{where}: has the label '{commas[0]}', whose comma may be of thousands or of decimals;"
            f" write numbers with a point and nothing else ({commas[0].replace(',', '')}), or set"
            " data.label_kind=class where they are classes"
        )
    if kind == "value" and fields:
        wrong = next((each for each in fields if numbers_in([each]) is None), fields[0])
        raise ValueError(
            f"labels=value: {where} has the label '{wrong}', which is no number; set labels=class"
        )


def _refuse_spellings(classes: Sequence[str], where: str) -> None:
    """Refuse classes that are one number in two spellings."""
    spelled: dict[Decimal, str] = {}
    for name in classes:
        other = spelled.setdefault(Decimal(name.replace(",", ".")), name)
        if other != name:
            raise ValueError(
                f"{where}: has the labels '{other}' and '{name}', which are one number in two"
                " spellings; write them alike, or set data.label_kind=class where they are two"
                " classes, data.label_kind=value where they are amounts"
            )
