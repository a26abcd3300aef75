"""Mean intersection over union by hand, by scikit-learn, and with its bounds."""

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from ssl_patches.evaluation.miou import confusion, enlarged, iou, miou, miou_row


@pytest.mark.parametrize(
    ("predicted", "truth", "each"),
    [
        ([[0, 0], [1, 1]], [[0, 0], [1, 1]], [1, 1, None]),
        ([[0, 0], [0, 0]], [[0, 0], [1, 1]], [1 / 2, 0, None]),  # class 0: 2 hit of 4 in the union
        ([[0, 1], [1, 1]], [[0, 0], [1, 1]], [1 / 2, 2 / 3, None]),
        (
            [[2, 0], [1, 1]],
            [[0, 0], [1, 1]],
            [1 / 2, 1, None],
        ),  # 2 is nowhere true: it costs class 0 and counts for nothing
        ([[1, 0], [1, 1]], [[-1, 0], [1, -1]], [1, 1, None]),  # what is unlabelled is no mistake
        ([[2, 2], [2, 2]], [[-1, 2], [2, 2]], [None, None, 1]),
    ],
)
def test_iou_by_hand(predicted, truth, each):
    found = iou(
        confusion(torch.tensor([predicted]), torch.tensor([truth]), classes=3).sum(0)
    ).tolist()
    assert [
        None if np.isnan(value) else pytest.approx(value) for value in each if value is not None
    ] == [value for value in found if not np.isnan(value)]
    assert [value is None for value in each] == [bool(np.isnan(value)) for value in found]
    known = [value for value in each if value is not None]
    assert miou(
        confusion(torch.tensor([predicted]), torch.tensor([truth]), classes=3).sum(0)
    ).item() == pytest.approx(sum(known) / len(known))


def test_miou_is_scikit_learns_over_all_pixels_and_not_the_mean_of_images():
    draw = torch.Generator().manual_seed(0)
    truth = torch.randint(-1, 5, (7, 9, 11), generator=draw)
    predicted = torch.where(
        torch.rand(truth.shape, generator=draw) < 0.5,
        truth,
        torch.randint(5, truth.shape, generator=draw),
    )
    predicted = predicted.clamp(min=0)
    known = truth >= 0
    counts = confusion(predicted, truth, classes=5)
    theirs = jaccard_score(truth[known], predicted[known], average="macro")
    assert miou(counts.sum(0)).item() == pytest.approx(theirs)
    assert miou(counts).mean().item() != pytest.approx(theirs, abs=1e-3)


def test_a_mask_of_another_size_than_the_grid_is_predicted_at_its_own_size():
    scores = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # left class 0, right class 1
    for size in ((1, 2), (2, 4), (6, 10), (5, 7)):
        found = enlarged(scores, size)
        assert found.shape == (1, *size)
        assert (found[0, :, : size[1] // 2] == 0).all()
        assert (found[0, :, -(size[1] // 2) :] == 1).all()


def test_the_interval_holds_the_value_gets_narrow_with_images_and_is_the_same_every_time():
    def row(count):
        draw = torch.Generator().manual_seed(1)
        truth = torch.randint(3, (count, 8, 8), generator=draw)
        right = torch.rand(
            count, 1, 1, generator=draw
        )  # images differ in how well they are predicted
        predicted = torch.where(
            torch.rand(truth.shape, generator=draw) < right, truth, (truth + 1) % 3
        )
        return miou_row(
            confusion(predicted, truth, classes=3), model="m", data="d", metric="miou_knn"
        )

    few, many = row(10), row(400)
    assert few == row(10)
    assert few.low < few.value < few.high
    assert many.low < many.value < many.high
    assert 2 < (few.high - few.low) / (many.high - many.low) < 20
    assert (many.n, many.metric) == (400, "miou_knn")


def test_no_labelled_pixel_at_all_is_refused():
    with pytest.raises(ValueError, match=r"data\.void"):
        miou_row(torch.zeros(3, 2, 2, dtype=torch.int64), model="m", data="d", metric="x")
