"""Labels are learned where there are some, masks where there are none."""

import pytest
import torch

from ssl_patches.evaluation.efficiency import learners


class Source:
    def __init__(self, labels, masks):
        self.labels = labels
        if masks:
            self.mask, self.mask_classes, self.objects = (lambda at: at), ["a", "b"], []

    def __len__(self):
        return 2


class Inputs:
    def __init__(self, source):
        self.source = source

    def images(self):
        return type("Data", (), {"train": self.source, "test": self.source})


SOME, NONE = torch.tensor([0, 1]), torch.tensor([-1, -1])


@pytest.mark.parametrize(
    ("labels", "masks", "of", "expected"),
    [
        (SOME, False, "auto", "labels"),
        (SOME, True, "auto", "labels"),
        (NONE, True, "auto", "masks"),
        (SOME, True, "masks", "masks"),
        (SOME, True, "labels", "labels"),
        (None, True, "auto", "labels"),  # one that does not say is asked when it is read
    ],
)
def test_what_is_learned(monkeypatch, labels, masks, of, expected):
    monkeypatch.setattr(learners, "LabelLearner", lambda inputs, balanced: f"labels, {balanced}")
    monkeypatch.setattr(learners, "MaskLearner", lambda inputs: "masks")
    found = learners.learner_of(Inputs(Source(labels, masks)), of=of)
    assert found == (expected if expected == "masks" else "labels, False")
    if expected == "masks":
        with pytest.raises(ValueError, match=r"metric=balanced: .*masks.*leave .*metric out"):
            learners.learner_of(Inputs(Source(labels, masks)), of=of, metric="balanced")
    else:
        asked = learners.learner_of(Inputs(Source(labels, masks)), of=of, metric="balanced")
        assert asked == "labels, True"
