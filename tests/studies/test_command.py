"""The command ``study`` as a person meets it."""

from __future__ import annotations

from small import SMALL

from ssl_patches.cli import main


def test_a_bad_study_ends_with_code_2_and_writes_nothing(tiny_study, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", str(tiny_study(axes={"task": []}))]) == 2
    assert main(["study", "nowhere"]) == 2
    assert main(["study", str(tiny_study()), "workers=0"]) == 2
    assert main(["study", str(tiny_study()), "launcher=slrum"]) == 2
    assert main(["study", str(tiny_study()), "slurm.partition=main"]) == 2
    assert main(["study"]) == 2
    assert main(["pretrain", "-m", *SMALL, "task=jigsaw,maskd"]) == 2
    told = capsys.readouterr().err
    for said in (
        "axes.task: is empty",
        "no such file",
        "workers=0: must be a whole number from 1",
        "one of local, slurm",
        "has no effect without launcher=slurm",
        "takes one study",
        "did you mean 'masked'?",
    ):
        assert said in told
    assert {path.name for path in tmp_path.iterdir()} == {"tiny"}
