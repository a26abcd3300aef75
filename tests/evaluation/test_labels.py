"""What labels ask for."""

import pytest
import torch

from ssl_patches.evaluation.labels import (
    check_targets,
    counts,
    described,
    kind_of,
    labelled,
    targets,
)

CLASSES, TAGS, VALUES = (
    torch.tensor([0, 2, -1]),
    torch.tensor([[0, 1], [1, -1], [1, 1]]),
    torch.tensor([0.5, torch.nan, 2.0]),
)


@pytest.mark.parametrize(
    ("labels", "kind", "has"),
    [(CLASSES, "class", [1, 1, 0]), (TAGS, "multilabel", [1, 0, 1]), (VALUES, "value", [1, 0, 1]),
     (VALUES[:, None], "value", [1, 0, 1]), (TAGS.bool(), "multilabel", [1, 1, 1])],
)  # fmt: skip
def test_shape_and_type_say_the_kind_and_what_has_no_label(labels, kind, has):
    assert kind_of(labels) == kind
    assert labelled(labels, kind).tolist() == has


def test_the_settings_overrule_the_type_where_that_makes_sense():
    assert kind_of(CLASSES, "value") == "value"
    assert labelled(CLASSES, "value").tolist() == [1, 1, 0]
    assert targets(CLASSES[:2], "value").tolist() == [[0.0], [2.0]]
    with pytest.raises(ValueError, match=r"labels=class.*float32.*set labels=value"):
        kind_of(VALUES, "class")
    with pytest.raises(ValueError, match="labels=klass"):
        kind_of(CLASSES, "klass")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kind_of(torch.zeros(2, 8, 8)), "one class"),
        (lambda: targets(torch.tensor([[0, 3]]), "multilabel"), "set labels=value"),
        (
            lambda: check_targets(torch.zeros(4).long(), torch.zeros(2).long(), "class"),
            "one class only",
        ),
        (
            lambda: check_targets(torch.tensor([0, 1]), torch.tensor([2]), "class"),
            "same class names",
        ),
        (lambda: check_targets(torch.ones(4, 2), torch.rand(2, 2), "value"), "same value"),
        (
            lambda: check_targets(torch.ones(4, 2).bool(), torch.ones(2, 2).bool(), "multilabel"),
            "sometimes 1 and sometimes 0",
        ),
        (
            lambda: check_targets(torch.rand(4, 2), torch.rand(2, 3), "value"),
            "train has 2 per image and test 3",
        ),
    ],
)
def test_labels_that_no_probe_can_use_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_it_is_said_in_words_which_figure_comes():
    assert "3 classes" in described("class", torch.tensor([0, 1, 5]))
    assert "mean average precision" in described("multilabel", TAGS)
    assert "2 numbers" in described("value", torch.rand(3, 2))


def test_counts_name_the_smallest_class_first_and_the_one_without_images():
    labels = torch.tensor([0, 0, 2, -1, 0, 2])
    assert counts(labels, ["ant", "bee", "cat"]) == "bee 0, cat 2, ant 3, no label 1"
    assert counts(torch.arange(20), []).endswith("and 12 more classes")
