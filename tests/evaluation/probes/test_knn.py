"""Weighted kNN."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from ssl_patches.evaluation.probes import knn
from ssl_patches.evaluation.probes.knn import votes, weighted_knn


def toy(n, dim, classes, seed, spread=2.0):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=draw)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    return centres[labels] + spread * torch.randn(n, dim, generator=draw), labels


@pytest.mark.parametrize(("k", "temperature"), [(20, 0.07), (5, 0.5), (1, 0.07)])
def test_it_agrees_with_scikit_learn(k, temperature):
    (train, labels), (test, _) = toy(600, 16, 7, 0), toy(300, 16, 7, 1)
    theirs = KNeighborsClassifier(
        k, metric="cosine", weights=lambda distance: np.exp((1 - distance) / temperature)
    )
    expected = theirs.fit(train.double().numpy(), labels.numpy()).predict(test.double().numpy())
    ours = weighted_knn(train, labels, test, k=k, temperature=temperature, classes=7)
    assert np.array_equal(ours.numpy(), expected)
    flat = (
        KNeighborsClassifier(k, metric="cosine")
        .fit(train.numpy(), labels.numpy())
        .predict(test.numpy())
    )
    assert k == 1 or not np.array_equal(
        ours.numpy(), flat
    )  # the toy is hard enough for the weights to matter


def test_the_size_of_the_chunks_changes_nothing(monkeypatch):
    (train, labels), (test, _) = toy(200, 8, 4, 0), toy(101, 8, 4, 1)
    whole = weighted_knn(train, labels, test, classes=4)
    monkeypatch.setattr(knn, "SIMILARITIES", 3 * 200)
    assert torch.equal(weighted_knn(train, labels, test, classes=4), whole)


@given(st.floats(1e-3, 1e3), st.integers(0, 100))
def test_length_of_features_and_order_of_the_bank_do_not_matter(factor, seed):
    (train, labels), (test, _) = toy(60, 8, 3, 0), toy(20, 8, 3, 1)
    shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    moved = weighted_knn(factor * train[shuffled], labels[shuffled], test / factor, classes=3)
    assert torch.equal(moved, weighted_knn(train, labels, test, classes=3))


def test_k_beyond_the_bank_lets_all_of_it_vote():
    (train, labels), (test, _) = toy(12, 8, 3, 0), toy(30, 8, 3, 1)
    all_vote = weighted_knn(train, labels, test, k=12, classes=3)
    assert torch.equal(weighted_knn(train, labels, test, k=500, classes=3), all_vote)
    assert (votes(500, 12), votes(20, 12), votes(5, 12)) == (12, 12, 5)


def test_a_temperature_near_zero_does_not_overflow():
    train, labels = torch.eye(3), torch.tensor([2, 0, 1])
    assert weighted_knn(train, labels, train, temperature=0.005, classes=3).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"k": 0}, "k=0"),
        ({"classes": 2}, "classes=2"),
        ({"test": torch.zeros(1, 9)}, "same model"),
        ({"train_labels": torch.tensor([0, -1, 2])}, "without a label"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, said):
    given = {
        "train": torch.eye(3),
        "train_labels": torch.arange(3),
        "test": torch.eye(3),
        "classes": 3,
    } | change
    with pytest.raises(ValueError, match=said):
        weighted_knn(given.pop("train"), given.pop("train_labels"), given.pop("test"), **given)
