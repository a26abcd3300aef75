"""Yes/no labels: one logistic regression per label, at one strength."""

import torch
from sklearn.linear_model import LogisticRegression

from ssl_patches.evaluation.probes.multilabel import multilabel_probe


def drawn(count, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 5, generator=draw)
    noise = torch.randn(count, 2, generator=draw)
    return x, torch.stack([x[:, 0] + x[:, 1], x[:, 2]], 1) + 0.5 * noise > 0


def test_scores_are_scikit_learns_at_the_strength_that_was_chosen():
    (train, labels), (test, _) = drawn(300, 0), drawn(50, 1)
    scores, settings = multilabel_probe(train, labels, test, strengths=(1e-2, 1e-1))
    assert set(settings["held_out_map"]) == {1e-2, 1e-1}
    mean, std = train.mean(0), train.std(0, correction=0)
    for place in range(2):
        model = LogisticRegression(C=1 / (settings["strength"] * len(train)), tol=1e-8)
        model.fit(((train - mean) / std).numpy(), labels[:, place].numpy())
        expected = model.decision_function(((test - mean) / std).numpy())
        assert torch.allclose(scores[:, place], torch.from_numpy(expected).float(), atol=0.02)


def test_a_label_that_nobody_has_does_no_harm():
    (train, labels), (test, _) = drawn(100, 0), drawn(10, 1)
    labels[:, 1] = False
    scores, _ = multilabel_probe(train, labels, test)
    assert scores.isfinite().all()
