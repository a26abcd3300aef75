"""Numbers and pictures of runs for the page; what cannot be read is left out."""

from __future__ import annotations

from PIL import Image

from ssl_patches.studies.compare.comparison import compare_runs
from ssl_patches.studies.compare.report.material import curve_rows, figures, table_of


def test_a_table_keeps_finite_numbers_only(tmp_path):
    (tmp_path / "m.csv").write_text("a,b,c\n1,x,nan\n2,3\n")
    assert table_of(tmp_path / "m.csv") == [{"a": 1.0}, {"a": 2.0, "b": 3.0}]
    assert table_of(tmp_path / "none.csv") == []


def test_curves_name_entry_seed_and_measure(study):
    rows = curve_rows(compare_runs([study]).trained)
    assert {row["entry"] for row in rows} == {"jigsaw", "masked"}
    assert {row["measure"] for row in rows} >= {"loss", "accuracy"}


def test_a_damaged_picture_is_named_and_not_shown(study):
    (study / "masked-0" / "figures" / "masked.png").write_bytes(b"no picture")
    found = {figure.path: figure.source for figure in figures(compare_runs([study]).trained)}
    assert found[str(study / "masked-0" / "figures" / "masked.png")] is None
    shown = found[str(study / "jigsaw-0" / "figures" / "jigsaw.png")]
    assert shown is not None
    assert shown.startswith("data:image/webp;base64,")
    assert Image.open(study / "jigsaw-0" / "figures" / "jigsaw.png").size == (1500, 300)
