"""What a probe predicts becomes rows, and is kept for paired tests."""

import pytest
import torch

from ssl_patches.evaluation import Case, EvalData, ProbeInputs


def inputs(kind="class", **changes):
    y = {
        "class": torch.arange(40) % 2,
        "multilabel": torch.stack([torch.arange(40) % 2 == 0, torch.arange(40) % 4 == 0], 1),
        "value": (torch.arange(40) % 5).float()[:, None],
    }[kind]
    x = {"pooled": torch.eye(2)[torch.arange(40) % 2] + 0.1 * torch.randn(40, 2)}
    count = 2 if kind == "class" else y.shape[1]
    of = {"model": "trained", "data": "toy", "kind": kind, "count": count}
    return ProbeInputs(train=x, train_y=y, test=x, test_y=y, **of | changes)


def test_predictions_become_rows_and_are_kept_with_what_was_chosen():
    given = inputs()
    (row,) = given.rows("mine", given.test_y, {"strength": 1})
    assert (row.metric, row.value, row.n, row.model, row.data) == (
        "mine_top1",
        100.0,
        40,
        "trained",
        "toy",
    )
    assert torch.equal(given.predictions["mine"], given.test_y)
    assert given.chosen == {"mine": {"strength": 1}}
    assert Case is ProbeInputs


@pytest.mark.parametrize(
    ("kind", "shape"), [("class", (40,)), ("multilabel", (40, 2)), ("value", (40, 1))]
)
def test_the_linear_probe_is_that_of_the_kind_of_labels(kind, shape):
    given = inputs(kind)
    predicted, settings = given.linear(given.train["pooled"], given.test["pooled"])
    assert predicted.shape == shape
    assert settings["strength"] > 0
    assert given.linear(given.train["pooled"], given.test["pooled"], torch.arange(20))


def test_images_and_a_network_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match="reads images itself"):
        inputs().images()
    with pytest.raises(ValueError, match="asks a network"):
        inputs().network()
    pixels = {"mean": [0.5], "std": [0.5], "image_size": 8}
    data = EvalData(train=[], test=[], batch_size=1, num_workers=0, **pixels)
    net = torch.nn.Identity()
    given = ProbeInputs.of_images(net, data, model="trained")
    assert given.images() is data
    assert given.network() is net
