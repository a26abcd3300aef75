"""A store is waited for as long as was said, and what it refuses has a remedy."""

from __future__ import annotations

import time

import pytest

from ssl_patches.data.shards import patience
from ssl_patches.data.shards.patience import Patience, refused, within


def test_work_that_takes_too_long_is_given_up() -> None:
    assert within(1, lambda: 3) == 3
    with pytest.raises(TimeoutError):
        within(0.01, lambda: time.sleep(0.3))
    with pytest.raises(KeyError):
        within(1, lambda: {}[1])


def test_it_is_tried_as_often_as_said_and_not_again_where_that_is_no_use(monkeypatch) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0)
    tries: list[BaseException] = []

    def fails(error: BaseException) -> None:
        tries.append(error)
        raise error

    for error, times in ((OSError("gone"), 3), (PermissionError("no"), 1)):
        tries.clear()
        with pytest.raises(ValueError, match=r"data\.path=s3://b"):
            Patience(1, 2).tried("s3://b", lambda error=error: fails(error))
        assert len(tries) == times
    with pytest.raises(FileNotFoundError):
        Patience(1, 2).tried("s3://b", lambda: fails(FileNotFoundError()))


def test_wrong_credentials_have_their_remedy() -> None:
    said = str(refused("s3://b/a", PermissionError("Forbidden")))
    assert "may not be read (Forbidden); give credentials (AWS_PROFILE" in said
    assert "whether it is there" in str(refused("s3://b/a", OSError("no route")))
