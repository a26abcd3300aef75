"""Names of files are shown and written as they are, and nothing obeys them."""

from __future__ import annotations

import csv
import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_patches.config import plain_text
from ssl_patches.config.plain_text import as_utf8, field, printable, tell, text_of


@given(st.text(alphabet=st.characters(), max_size=30))
def test_nothing_that_is_shown_can_change_a_terminal(text):
    told = printable(text)
    assert not any(ord(char) < 32 and char not in "\t\n" for char in told)
    assert not any(0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in told)
    told.encode("utf-8")


def test_what_is_text_stays_as_it_is_and_the_rest_can_be_read():
    assert printable("größe\t1\n") == "größe\t1\n"
    assert printable("\x1b[2Jgone") == "\\x1b[2Jgone"
    assert printable(b"\xfc.png".decode("utf-8", "surrogateescape")) == "\\udcfc.png"
    assert as_utf8("a\udcfc") == "a\\udcfc"


def test_a_terminal_of_ascii_shows_any_name(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    plain_text.escape_what_cannot_be_encoded()
    tell("größe \x1b \udcfc")
    assert raw.getvalue() == rb"gr\xf6\xdfe \x1b \udcfc" + b"\n"


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
