"""A table has as many cells as were asked for, and says what they cost."""

from types import SimpleNamespace

import torch

from ssl_patches.evaluation.efficiency import work
from ssl_patches.evaluation.efficiency.work import Asked, Work


class Learner:
    """Answers everything with 0, and remembers what it was asked."""

    metric, key, fit, images = "top1", "labels", 2, 20

    def __init__(self):
        self.asked = []

    def numbers(self, labels):
        return [*labels, None]

    def draws(self, number, count):
        return [torch.arange(number or 10)] * (1 if number is None else count)

    def read(self, progress):
        if not self.asked:
            progress(self.images)

    def frozen(self, some):
        self.asked.append(len(some))
        return dict.fromkeys(("linear", "knn"), torch.zeros(4))

    def size(self, some):
        return len(some)

    def right(self):
        return torch.tensor([0.0, 0.0, 0.0, 1.0])

    def values(self, answers, targets, counts):
        return 100 * (counts * (answers == targets)).sum(1) / counts.sum(1)


def test_each_number_is_drawn_as_often_as_asked_and_all_labels_once(monkeypatch):
    monkeypatch.setattr(work, "eval_key", lambda data: None)
    data = SimpleNamespace(image_size=8, mean=[0.5] * 3)
    inputs = SimpleNamespace(encoder=None, model="raw_pixels", images=lambda: data)
    learner = Learner()
    table = Work(Asked([1, 5], draws=3, tuned_draws=1, trials=1, kept=None), inputs, learner)
    [linear] = table.curves(["linear"])
    assert learner.asked == [1, 1, 1, 5, 5, 5, 10]
    assert [point.values.tolist() for point in linear.points] == [[75.0] * 3, [75.0] * 3, [75.0]]
    # one column of two is taken, so half of the reading is its cost
    assert table.flops == 20 * 3 * 8 * 8 / 2


def test_trained_columns_have_draws_of_their_own():
    asked = Asked(None, draws=20, tuned_draws=2, trials=1, kept=None)
    assert [asked.draws_of(name) for name in ("linear", "knn", "finetune", "scratch")] == [
        20,
        20,
        2,
        2,
    ]
