"""Whether a user's runs can be sent is asked before a run, and answered plainly."""

from __future__ import annotations

import pytest
import wandb_server

from ssl_patches.training.trackers import wandb_account
from ssl_patches.training.trackers.wandb_account import taken_by_server, unanswered


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb_account, "WAIT", 0.5)
    with wandb_server.serving() as held, wandb_server.met_here(held, tmp_path):
        monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
        yield held


def test_a_user_with_a_key_is_taken(server, capsys):
    assert taken_by_server()
    assert "Viewer" in server.asked
    assert "logger=wandb" not in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["offline", "disabled", "dryrun"])
def test_nobody_is_asked_where_nothing_is_to_be_sent(mode, server, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.delenv("WANDB_API_KEY")
    assert taken_by_server()
    assert not server.asked


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "No API key configured. Use `wandb login` to log in; "),
        ("short", "WANDB_API_KEY invalid: API key must have 40\\+ characters, has 5; "),
        ("x" * 40, "Failed to authenticate with http://127.0.0.1:[0-9]+: user is not logged in; "),
    ],
)
def test_a_user_without_account_is_told_what_to_do(key, says, server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", key)
    if not key:
        monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(ValueError, match=f"^logger=wandb: {says}log in with: wandb login, or put"):
        taken_by_server()


def test_a_broken_server_is_no_refusal(server, capsys):
    server.status = 500
    assert not taken_by_server()
    said = capsys.readouterr().err
    assert f"logger=wandb: no answer from {server.address}: 500 Internal Server Error" in said


def test_an_answer_is_told_from_none(server):
    server.status = 401
    assert unanswered(server.address) is None
    server.status = 200
    assert unanswered(server.address) is None  # 404
    server.status = 503
    assert unanswered(server.address) == "503 Service Unavailable"
    server.silent = True
    assert unanswered(server.address) == "timed out"
    assert unanswered("http://127.0.0.1:1") == "[Errno 111] Connection refused"
