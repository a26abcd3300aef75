"""The linear probe."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ssl_patches.evaluation.probes import linear
from ssl_patches.evaluation.probes.linear import Softmax, linear_probe, standardisation, stratified


def toy(n, dim, classes, seed, spread=1.0):
    """Classes in features whose directions differ in size by 1000, as those of real encoders do."""
    draw = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(99)
    centres, mixing = (
        torch.randn(classes, dim, generator=fixed),
        torch.randn(dim, dim, generator=fixed),
    )
    labels = torch.randint(classes, (n,), generator=draw)
    hidden = centres[labels] + spread * torch.randn(n, dim, generator=draw)
    return (hidden * torch.logspace(0, -3, dim)) @ mixing, labels


def accuracy(train, labels, test, wanted, **options):
    predicted, _ = linear_probe(train, labels, test, **options)
    return 100 * (predicted == wanted).double().mean().item()


def test_features_that_are_the_labels_give_100_percent():
    labels, wanted = torch.arange(400) % 10, torch.arange(100) % 10
    assert accuracy(torch.eye(10)[labels], labels, torch.eye(10)[wanted], wanted, classes=10) == 100


def test_shuffled_labels_give_chance():
    (train, labels), (test, wanted) = (
        toy(1000, 12, 4, 0, spread=0.3),
        toy(1000, 12, 4, 1, spread=0.3),
    )
    # Images of a class lie together and are predicted together, so one shuffle strays by some 14
    # points; twenty by 3.
    found = []
    for seed in range(20):
        shuffled = labels[torch.randperm(1000, generator=torch.Generator().manual_seed(seed))]
        found.append(accuracy(train, shuffled, test, wanted, classes=4))
    assert abs(sum(found) / 20 - 25) < 9
    assert (
        accuracy(train, labels, test, wanted, classes=4) > 90
    )  # the same features do tell the labels


@pytest.mark.parametrize("strength", [1e-1, 1e-3])
def test_the_minimum_is_scikit_learns(strength):
    features, labels = toy(300, 10, 3, 0)
    mean, scale = standardisation(features)
    x = (features - mean) / scale
    model = Softmax(x, labels, classes=3)
    assert model.fit(strength)
    theirs = LogisticRegression(
        C=1 / (strength * 300), solver="newton-cg", tol=1e-8, max_iter=2000
    ).fit(x.double().numpy(), labels)
    # sklearn's penalty leaves the bias of each class free, as ours does; only differences between
    # classes are determined
    ours = model.weight - model.weight.mean(0)
    assert np.allclose(
        ours, theirs.coef_ - theirs.coef_.mean(0), atol=0.02 * np.abs(theirs.coef_).max()
    )
    assert (model(x).numpy() == theirs.predict(x.double().numpy())).mean() > 0.99


def test_scaling_by_the_spectrum_reaches_the_minimum_in_far_fewer_steps(monkeypatch):
    features, labels = toy(500, 40, 5, 0, spread=3.0)
    mean, scale = standardisation(features)
    x = (features - mean) / scale
    monkeypatch.setattr(linear, "STEPS", 60)
    model, plain = Softmax(x, labels, classes=5), Softmax(x, labels, classes=5)
    plain.spectrum = torch.ones_like(
        plain.spectrum
    )  # every direction alike: L-BFGS without the scaling
    assert model.fit(1e-5)
    assert not plain.fit(1e-5)


def test_it_is_the_same_every_time_and_the_seed_moves_only_the_held_out_part():
    (train, labels), (test, _) = toy(400, 12, 4, 0), toy(50, 12, 4, 1)
    first, settings = linear_probe(train, labels, test, classes=4)
    again, same = linear_probe(train, labels, test, classes=4)
    assert torch.equal(first, again)
    assert settings == same
    masks = [stratified(labels, share=0.2, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_the_strength_is_chosen_on_train_and_never_looks_at_test():
    train, labels = toy(300, 40, 4, 0, spread=3.0)
    chosen = [
        linear_probe(train, labels, test, classes=4)[1]
        for test in (torch.zeros(5, 40), 1e3 * torch.randn(9, 40))
    ]
    assert chosen[0] == chosen[1]
    scores = chosen[0]["held_out_top1"]
    assert len(set(scores.values())) > 2  # the strength matters here
    assert scores[chosen[0]["strength"]] == max(scores.values())
    assert chosen[0]["converged"]


def test_the_held_out_part_holds_every_class_that_has_two_images_and_never_all_of_one():
    labels = torch.tensor([0] * 50 + [1] * 2 + [2] + [4] * 5)
    held = stratified(labels, share=0.2, seed=3)
    assert [int(held[labels == label].sum()) for label in (0, 1, 2, 4)] == [10, 1, 0, 1]


def test_one_image_per_class_takes_the_middle_of_the_grid_and_says_so():
    _, settings = linear_probe(torch.eye(3), torch.arange(3), torch.eye(3), classes=3)
    assert (settings["strength"], settings["held_out"], settings["held_out_top1"]) == (1e-3, 0, {})


def test_a_feature_that_never_changes_and_one_of_another_unit_do_no_harm():
    (train, labels), (test, wanted) = toy(400, 8, 3, 0, spread=0.3), toy(200, 8, 3, 1, spread=0.3)
    units = torch.logspace(-4, 4, 8)

    def with_constant(features):
        return torch.cat([features * units, torch.full((len(features), 1), 123.4)], 1)

    plain = accuracy(train, labels, test, wanted, classes=3)
    assert accuracy(
        with_constant(train), labels, with_constant(test), wanted, classes=3
    ) == pytest.approx(plain, abs=1)


def test_a_class_without_images_is_never_predicted():
    labels = torch.arange(100) % 2 * 4  # classes 0 and 4 of 6
    predicted, _ = linear_probe(torch.randn(100, 5), labels, torch.randn(50, 5), classes=6)
    assert set(predicted.tolist()) <= {0, 4}


def test_the_size_of_the_chunks_changes_nothing(monkeypatch):
    (train, labels), (test, _) = toy(200, 8, 3, 0), toy(50, 8, 3, 1)
    whole = linear_probe(train, labels, test, classes=3)[0]
    monkeypatch.setattr(linear, "LOGITS", 3 * 17)
    assert (linear_probe(train, labels, test, classes=3)[0] == whole).double().mean() > 0.95


def test_one_class_only_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        linear_probe(
            torch.randn(9, 2), torch.ones(9, dtype=torch.int64), torch.randn(2, 2), classes=2
        )


def test_the_number_of_threads_comes_back_and_does_not_move_the_figure():
    (train, labels), (test, _) = toy(400, 12, 4, 0), toy(50, 12, 4, 1)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(linear_probe(train, labels, test, classes=4))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("rank", [10, 3])
def test_of_fewer_images_than_features_the_minimum_over_all_features_is_found(rank):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(10, rank, generator=draw) @ torch.randn(rank, 40, generator=draw)
    labels = torch.arange(10) % 3
    probe = Softmax(x, labels, classes=3)
    assert probe.basis.shape == (40, rank)
    assert torch.allclose(probe.basis.T @ probe.basis, torch.eye(rank), atol=1e-4)
    assert probe.fit(1e-2)
    weight, bias = probe.weight.double().requires_grad_(), probe.bias.double().requires_grad_()
    logits = x.double() @ weight.T + bias
    loss = torch.nn.functional.cross_entropy(logits, labels) + 0.5e-2 * weight.square().sum()
    for slope in torch.autograd.grad(loss, (weight, bias)):  # of all 40 features
        assert slope.abs().max() < 2e-3
