"""One model is measured beside random weights that start as training would."""

import torch

from ssl_patches.encoders.subject import open_model
from ssl_patches.evaluation.one_model import untrained_of


def test_the_floor_is_the_same_network_with_other_weights_and_the_same_ones_each_time(finished_run):
    subject = open_model(str(finished_run), pretrained=True)
    first, again = (
        untrained_of(subject, subject.cfg["data"], None, None, ()).state_dict() for _ in range(2)
    )
    trained = subject.model.state_dict()
    assert {key: value.shape for key, value in first.items()} == {
        key: value.shape for key, value in trained.items()
    }
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], trained[key]) for key in first)
