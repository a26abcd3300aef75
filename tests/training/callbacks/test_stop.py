"""A signal ends training after the step in progress, which is saved."""

from __future__ import annotations

import signal

from runs import last

from ssl_patches.training.callbacks.stop import Stop
from ssl_patches.training.pretrainer import Pretrainer


def test_sigusr1_saves_and_leaves(only_training, tmp_path, monkeypatch, capsys):
    after = Pretrainer.on_train_batch_end

    def warned(module: Pretrainer, *arguments) -> None:
        after(module, *arguments)
        if module.global_step == 3:
            signal.raise_signal(signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Pretrainer, "on_train_batch_end", warned)
    run_dir = only_training(tmp_path / "run", code=1)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("stopped after 3 steps, saved in")
    assert said.endswith(f" run_dir={run_dir} resume=true")
    assert last(run_dir)["global_step"] == 3
    assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)) == before


def test_a_terminal_that_is_closed_is_listened_to_but_not_under_nohup():
    before = signal.getsignal(signal.SIGHUP)
    try:
        for handler in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(signal.SIGHUP, handler)
            stop = Stop(every=1)
            with stop.listening():
                signal.raise_signal(signal.SIGHUP)
                assert stop.came == ([signal.SIGHUP] if handler is signal.SIG_DFL else [])
            assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)
