"""The images that an encoder is asked about: those of the run, others, and what is said of them."""

import re

import pytest
import torch
from PIL import Image

from ssl_patches import config
from ssl_patches.data import FolderSource
from ssl_patches.encoders.subject import Subject
from ssl_patches.evaluation.images import chosen_data, limits_told, range_told, say_images

RUN_DATA = {
    "_target_": "ssl_patches.data.FolderSource",
    "root": "/gone",
    "batch_size": 4,
    "num_workers": 0,
}


def test_the_advice_of_a_message_works_as_it_stands():
    words, changes = config.without_data_keys(["model=RUN", "data.root=DIR", "data.num_workers=3"])
    assert words == ["model=RUN"]
    found = config.overlaid(RUN_DATA, changes)
    assert found == {**RUN_DATA, "root": "DIR", "num_workers": 3}
    with_name = ["model=RUN", "data=folder", "data.root=DIR"]
    assert config.without_data_keys(with_name) == (with_name, [])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.rot=x", r"data.rot: unknown key of the run's data; did you mean 'data.root'"),
        ("data.channels=three", r"data.channels=three: must be a whole number"),
        ("data.split=val", r"data.split: unknown key"),
    ],
)
def test_a_wrong_word_for_the_data_of_a_run_is_refused(word, said):
    with pytest.raises(config.BadRequest, match=said):
        config.overlaid(RUN_DATA, [word])


def test_other_images_where_those_of_the_run_lay_are_said(tmp_path):
    for at in range(4):
        Image.new("RGB", (8, 8), (at, 0, 0)).save(tmp_path / f"{at}.png")
    found = FolderSource(root=str(tmp_path), split="train", image_size=8)
    for fingerprint, lines in ((found.fingerprint(), 0), ("another", 1), (None, 0)):
        subject = Subject(None, 8, (0.5,) * 3, (0.5,) * 3, {"data": RUN_DATA}, fingerprint)
        said = []
        say_images(said.append, subject, [found], of_run=True)
        assert len(said) == lines
        say_images(said.append, subject, [found], of_run=False)
        assert len(said) == lines


@pytest.mark.parametrize(
    ("typed", "trained", "said"),
    [
        (None, [0, 4095], r"data.value_range=\[0,4095\], as RUN was trained"),
        ([0, 255], [0, 4095], r"read by \[0,255\], and RUN was trained by \[0,4095\]"),
        ([0, 4095], None, r"read by \[0,4095\], and RUN was trained by the range of their type"),
        ([0, 4095], [0.0, 4095.0], None),
        (None, None, None),
    ],
)
def test_images_are_read_by_the_range_of_the_model_or_the_difference_is_said(typed, trained, said):
    node = {"_target_": "ssl_patches.data.FolderSource", "root": "x", "value_range": typed}
    cfg = {"data": {key: value for key, value in node.items() if value is not None}, "model": "RUN"}
    subject = Subject(torch.nn.Identity(), 32, [0.5] * 3, [0.5] * 3, {}, stored_range=trained)
    data, _ = chosen_data(cfg, subject, config_dirs=())
    assert data.get("value_range") == (typed or trained)
    (line,) = range_told(cfg["data"], data, subject, "RUN") or [None]
    assert line is None if said is None else re.search(said, line)


def test_words_that_give_the_figures_of_the_run_are_said_where_it_read_fewer_images():
    net = torch.nn.Identity()
    own = {"evaluation": {"train_images": 8, "test_images": 20}}
    subject = Subject(net, 32, (0.5,), (0.5,), own)
    every = {"train_images": None, "test_images": None}
    sources = [range(10), range(10)]
    assert limits_told(every, subject, sources).endswith("; train_images=8 gives its figures")
    assert limits_told({**every, "test_images": 3}, subject, sources) == ""
    assert limits_told(every, Subject(net, 32, (0.5,), (0.5,), None), sources) == ""
