"""Names of files are shown and written as they are, and nothing obeys them."""

from __future__ import annotations

import csv
import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_patches.config import plain_text
from ssl_patches.config.plain_text import (
    Lines,
    aligned,
    as_listed,
    as_utf8,
    field,
    in_lines,
    printable,
    tell,
    text_of,
)

ODD = st.text(alphabet=st.sampled_from([*"ab\n\r\x1b\t\x85\u2028\u202e\udcfc\x0b"]), max_size=9)
ANY = st.text(alphabet=st.characters(), max_size=30)


@given(ODD | ANY)
def test_nothing_that_is_shown_can_change_a_terminal(text):
    told = printable(text)
    assert not any(ord(char) < 32 for char in told)
    assert not any(0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in told)
    assert len(told.splitlines()) <= 1
    assert printable(told) == told
    told.encode("utf-8")


@given(st.lists(ODD, max_size=5), st.lists(ODD, max_size=3))
def test_what_is_told_has_the_lines_of_who_tells_and_no_other(lines, further):
    told = in_lines([*lines, in_lines(further)])
    assert isinstance(told, Lines)
    assert told.split("\n") == [printable(each) for each in [*lines, *(further or [""])]]
    out = io.StringIO()
    tell(told, out)
    assert out.getvalue() == f"{told}\n"
    out = io.StringIO()
    tell("\n".join(lines), out)  # that nobody made lines of
    assert out.getvalue().count("\n") == 1


@given(st.lists(st.tuples(ODD, ODD), min_size=1, max_size=4), st.booleans())
def test_a_table_has_a_line_for_each_row_and_its_columns_begin_at_one_place(rows, rule):
    lines = aligned([("first", "second"), *rows], rule=rule).split("\n")
    assert len(lines) == 1 + len(rows) + rule
    begin = lines[0].index("second")
    for line, row in zip(lines[1 + rule :], rows, strict=True):
        assert line[begin:] == printable(row[1]).rstrip()


@given(ODD | ANY)
def test_a_name_in_a_list_is_one_line_with_the_bytes_of_the_disk(name):
    listed = as_listed(name)
    assert len(listed.splitlines()) <= 1
    assert printable(listed) == printable(name)
    assert [char for char in listed if "\ud800" <= char <= "\udfff"] == [
        char for char in name if "\ud800" <= char <= "\udfff"
    ]


def test_text_of_several_lines_is_that_only_as_long_as_nothing_is_done_to_it():
    assert printable(in_lines(["a", "b"])) == "a\nb"
    assert printable(f"{in_lines(['a', 'b'])}!") == "a\\nb!"


def test_what_is_text_stays_as_it_is_and_the_rest_can_be_read():
    assert printable("größe 1") == "größe 1"
    assert printable("größe\t1\n") == "größe\\t1\\n"
    assert printable("\x1b[2Jgone") == "\\x1b[2Jgone"
    assert printable(b"\xfc.png".decode("utf-8", "surrogateescape")) == "\\udcfc.png"
    assert as_utf8("a\udcfc") == "a\\udcfc"


def test_a_terminal_of_ascii_shows_any_name(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    plain_text.escape_what_cannot_be_encoded()
    tell("größe \x1b \udcfc")
    assert raw.getvalue() == rb"gr\xf6\xdfe \x1b \udcfc" + b"\n"


def test_no_name_in_a_traceback_acts(monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", None)
    plain_text.escape_what_tracebacks_say()
    try:
        raise RuntimeError("a\x1b[2J\x9b.png\nin two lines") from OSError("\u202egnp")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
        whole = plain_text.traceback_of(error)
    told = capsys.readouterr().err
    assert told == f"{whole}\n"
    assert told.startswith("OSError: \\u202egnp\n\nThe above exception was the direct cause")
    assert told.endswith("\nRuntimeError: a\\x1b[2J\\x9b.png\nin two lines\n")
    assert "test_no_name_in_a_traceback_acts" in told


@pytest.mark.parametrize("text", ["=1+1", "'=1", "+cmd", "-a.png", "@SUM(A1)", "\t=1"])
def test_no_field_is_a_formula_and_the_text_comes_back(text):
    assert field(text) == f"'{text}"
    assert text_of(field(text)) == text


@pytest.mark.parametrize("text", ["-0.5", "+1e-3", "-inf", "nan", "a=1", "", "'tis"])
def test_numbers_and_other_text_stay(text):
    assert field(text) == text


@given(st.text(min_size=1, max_size=10))
def test_every_field_comes_back_from_a_csv(text):
    out = io.StringIO(newline="")
    csv.writer(out).writerow([field(text)])
    ((back,),) = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert text_of(back) == text
