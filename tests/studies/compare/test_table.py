"""The table as text: aligned, in Markdown, and in long form."""

from __future__ import annotations

import csv
import io

from ssl_patches.studies.compare.comparison import compare_runs
from ssl_patches.studies.compare.table import (
    as_csv,
    columns,
    lies_in,
    lines,
    long_rows,
    pair_rows,
    render,
)


def test_each_line_has_each_column_and_the_floors_come_last(study):
    comparison = compare_runs([study])
    table = lines(comparison)
    assert {len(line) for line in table} == {len(columns(comparison))}
    assert [line[0] for line in table] == ["masked", "jigsaw", "raw_pixels", "random_init"]


def test_markdown_escapes_what_it_would_read_as_its_own(study, write_run):
    write_run(study / "a|b<c", task="relative", linear_top1=1.0, knn20_top1=1.0)
    text = render(compare_runs([study]), markdown=True).split("\n\n")[0]
    assert "a\\|b\\<c" in text
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines()}) == 1


def test_runs_are_named_as_a_shell_finds_them_and_no_others(study):
    masked = compare_runs([study]).entries[0]
    assert lies_in(masked.runs) == str(study / "masked-*")
    (study / "masked-old").mkdir()
    assert lies_in(masked.runs) == f"{study}/{{masked-0,masked-1,masked-2}}"
    assert lies_in(masked.runs[:1]) == str(study / "masked-0" / "encoder")


def test_long_forms_hold_every_result_and_every_pair(study):
    comparison = compare_runs([study])
    rows = list(csv.DictReader(io.StringIO(as_csv(long_rows(comparison)))))
    assert len(rows) == sum(len(run.results) for run in comparison.runs)
    pairs = pair_rows(comparison)
    assert {pair["metric"] for pair in pairs} == {"linear_top1", "knn20_top1"}
    assert as_csv([]).strip() == "run"
