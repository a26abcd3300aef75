"""Few labels are fine-tuned on for more epochs, so that there are steps."""

import torch

from ssl_patches.evaluation.efficiency import label_learner
from ssl_patches.evaluation.efficiency.label_learner import LabelLearner
from ssl_patches.evaluation.efficiency.learner import LEAST_STEPS, SETTINGS
from ssl_patches.evaluation.probes.finetune import RECIPE, steps_of


def test_any_number_of_images_has_a_hundred_steps_and_many_have_ten_epochs():
    learner = object.__new__(LabelLearner)
    for count in (1, 2, 10, 100, 5000):
        batch = min(RECIPE["batch_size"], count)
        steps = steps_of(count, epochs=learner.epochs_of(count), batch_size=batch)
        assert steps >= LEAST_STEPS
    assert learner.epochs_of(5000) == RECIPE["epochs"]


def test_settings_of_trials_differ_and_begin_with_that_of_the_probe():
    assert len(set(SETTINGS)) == len(SETTINGS)
    assert SETTINGS[0] == (RECIPE["optimizer"]["base_lr"], RECIPE["layer_decay"])


def test_labels_that_will_be_read_are_those_of_the_limit(monkeypatch):
    class Source:
        labels = torch.tensor([0, 1, -1, 1, 0, 1])

        def __len__(self):
            return 6

    assert label_learner._labels_of(Source(), "class", None).tolist() == [0, 1, 1, 0, 1]
    few = label_learner._labels_of(Source(), "class", 3)
    assert len(few) <= 3
