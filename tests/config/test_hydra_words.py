"""Who types Hydra's own settings is told in one line which word of ours does the same."""

from __future__ import annotations

import pytest
from small import SMALL

from ssl_patches.cli import main
from ssl_patches.config.hydra_words import our_word


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("hydra/launcher=joblib", "workers=N"),
        ("hydra/launcher=submitit_slurm", "launcher=slurm workers=N"),
        ("hydra/launcher=submitit_local", "workers=N"),
        ("hydra/launcher=ray", "launcher=ray"),
        ("hydra/launcher=mine", "launcher=slurm"),
        ("+hydra/launcher=basic", "take it out"),
        ("hydra/sweeper=optuna", "`tune:` with trials: N"),
        ("hydra/sweeper=ax", "`tune:` with trials: N"),
        ("hydra.launcher.n_jobs=4", "workers=4"),
        ("hydra.launcher.partition=gpu", "slurm.partition=gpu with launcher=slurm"),
        ("hydra.launcher.timeout_min=60", "slurm.timeout_min=60"),
        ("hydra.sweeper.n_trials=8", "trials: 8"),
        ("hydra.sweeper.params.seed=0,1", "give seed=0,1 with -m"),
        ("hydra.sweep.dir=x", "give run_dir=x"),
        ("hydra.verbose=true", "take it out"),
    ],
)
def test_each_of_hydras_settings_has_its_word(word, ours):
    told = our_word(word)
    assert told.startswith(f"{word}: Hydra's own settings have no effect here; ")
    assert ours in told
    assert "\n" not in told


@pytest.mark.parametrize("multirun", [["-m"], []])
def test_they_are_refused_once_beside_all_other_mistakes(multirun, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["hydra/launcher=joblib", "hydra/sweeper=optuna", "sed=1"]
    assert main(["pretrain", *multirun, *SMALL, *words]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert told[0].startswith("hydra/launcher=joblib: ")
    assert told[1].startswith("hydra/sweeper=optuna: ")
    assert "unknown key; did you mean 'seed'?" in told[2]
    assert not list(tmp_path.iterdir())
