"""What is typed after a command is divided into words, folders and flags."""

from __future__ import annotations

from ssl_patches.cli import main
from ssl_patches.cli.typed import divided


def test_all_that_is_wrong_with_flags_is_told_at_once(capsys):
    assert main(["compare", "--cvs", "runs", "--jsn", "--metric"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--cvs: unknown flag of compare; did you mean --csv?",
        "--jsn: unknown flag of compare; did you mean --json?",
        "--metric: needs a value; give --metric VALUE",
    ]


def test_flags_may_stand_between_words_and_are_completed(capsys):
    found = divided("compare", ["one", "--csv", "rows.csv", "two", "--json", "--report=a=b.html"])
    assert found.words == ["one", "two"]
    assert found.flags == {"--csv": "rows.csv", "--json": "", "--report": "a=b.html"}
    found = divided("pretrain", ["-m", "~a", "--config-dir", "one", "+b=1", "--config-dir=two"])
    assert found.words == ["~a", "+b=1"]
    assert [str(folder) for folder in found.config_dirs] == ["one", "two"]
    assert main(["completion", "words", "compare", "--m"]) == 0
    assert capsys.readouterr().out.split() == ["--markdown", "--metric", "--mixed"]
