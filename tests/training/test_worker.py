"""A process that follows another trains along and says nothing."""

from __future__ import annotations

import yaml

from ssl_patches.config.messages import Failed
from ssl_patches.training import worker


def test_it_resumes_what_the_first_process_runs_and_fails_quietly(
    tmp_path, monkeypatch, capsys
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"seed": 3}))
    seen = []

    def execute(cfg, run, *, began, on_finished, say) -> None:
        seen.append((cfg, run))
        say("a word")
        on_finished(cfg)
        if len(seen) == 2:
            raise Failed("stopped")

    monkeypatch.setattr(worker, "execute", execute)
    monkeypatch.setattr(worker, "prepare", lambda cfg: "run")
    assert worker.main([str(tmp_path / "config.yaml")]) == 0
    assert worker.main([str(tmp_path / "config.yaml")]) == 1
    assert seen[0] == ({"seed": 3, "resume": True}, "run")
    assert capsys.readouterr() == ("", "")
