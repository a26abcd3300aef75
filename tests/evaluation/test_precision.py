"""An encoder is read in the precision that its run had, unless another is asked for."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.encoders.subject import Subject
from ssl_patches.evaluation import precision
from ssl_patches.evaluation.precision import precision_for


def of_run(trainer: dict | None) -> Subject:
    cfg = None if trainer is None else {"trainer": trainer}
    return Subject(torch.nn.Identity(), 32, (0.5,), (0.5,), cfg)


@pytest.mark.parametrize("has", ["this CPU has AVX512-BF16", None])
def test_what_is_asked_for_is_done(monkeypatch, has):
    monkeypatch.setattr(precision, "native_bf16", lambda _: has)
    for asked in ("fp32", "bf16"):
        assert precision_for(asked, of_run({"precision": "bf16"})) == (asked, "")


def test_else_it_is_that_of_the_run_where_the_hardware_has_it(monkeypatch):
    monkeypatch.setattr(precision, "native_bf16", lambda _: "this CPU has AVX512-BF16")
    chosen = precision_for(None, of_run({"precision": "bf16"}))
    assert chosen.precision == "bf16"
    assert "precision=fp32" in chosen.said
    monkeypatch.setattr(precision, "native_bf16", lambda _: None)
    chosen = precision_for(None, of_run({"precision": "bf16"}))
    assert chosen.precision == "fp32"
    assert "precision=bf16" in chosen.said


def test_fp32_needs_no_words(monkeypatch):
    monkeypatch.setattr(precision, "native_bf16", lambda _: "this CPU has AVX512-BF16")
    for trainer in ({"precision": "fp32"}, {}, None):
        assert precision_for(None, of_run(trainer)) == ("fp32", "")
