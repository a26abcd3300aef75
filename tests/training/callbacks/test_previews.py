"""Pictures of features: what they are made of, on cases that can be seen through."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from matplotlib.image import imread

from ssl_patches.encoders import create
from ssl_patches.evaluation.attention import last_attention
from ssl_patches.training.callbacks.health import FEWEST
from ssl_patches.training.callbacks.previews import Previews
from ssl_patches.training.figures import draw_neighbours, draw_patches


@pytest.mark.parametrize("options", [{}, {"class_token": True}])
def test_attention_is_the_last_blocks_and_the_model_is_left_as_it_was(options):
    torch.manual_seed(0)
    vit = {"name": "vit_tiny_patch16_224", "image_size": 32, "patch_size": 8, "channels": 3}
    model = create(**vit, options={"depth": 2, "embed_dim": 48, "num_heads": 3, **options}).export(
        32
    )
    images = torch.randn(2, 3, 32, 32)
    before = model(images)
    attention = last_attention(model, images)
    assert attention.shape == (2, 4, 4)
    assert torch.allclose(attention.sum((1, 2)), torch.ones(2))
    assert torch.equal(model(images), before)
    layer = model.blocks[-1].attn
    with torch.no_grad():  # queries of zeros ask for nothing: no token is preferred
        layer.qkv.weight[:96].zero_()
        layer.qkv.bias[:96].zero_()
    flat = last_attention(model, images)
    assert torch.allclose(flat, torch.full_like(flat, 1 / 16))


def test_figures_are_written_with_something_on_them(tmp_path):
    images = torch.randint(256, (8, 1, 16, 16), dtype=torch.uint8)  # grey images too
    draw_neighbours(
        tmp_path / "n.png",
        images=images,
        features=torch.randn(8, 4),
        labels=None,
        queries=[0, 5],
        title="t",
    )
    draw_patches(
        tmp_path / "p.png",
        images=images[:2],
        dense=torch.randn(2, 9, 4, 4),
        attention=None,
        title="t",
    )
    for name in ("n", "p"):
        assert imread(tmp_path / f"{name}.png").std() > 0.05


@pytest.mark.parametrize(
    ("epochs", "seconds_a_step", "drawn"),
    [
        (None, 1.0, []),  # a run of 40 seconds
        (None, 10.0, [20]),  # of 400: at 10 s, 100 s, ... but not within two minutes
        (None, 30.0, [10, 20, 30]),
        (5.0, 1.0, [5, 10, 15, 20, 25, 30, 35]),  # as asked
    ],
)
def test_a_short_run_is_drawn_at_its_end_only(monkeypatch, epochs, seconds_a_step, drawn):
    found: list[int] = []
    previews = Previews(epochs=epochs)
    monkeypatch.setattr(previews, "draw", lambda trainer, *_: found.append(trainer.global_step))
    trainer = SimpleNamespace(
        default_root_dir=".",
        global_step=0,
        datamodule=SimpleNamespace(train=range(16), val=range(16)),
    )
    module = SimpleNamespace(
        batch_size=16, steps=40, seconds_spent=lambda: seconds_a_step * trainer.global_step
    )
    previews.on_train_start(trainer, module)
    for trainer.global_step in range(1, 41):
        previews.on_step_end(trainer, module)
    assert found == drawn


@pytest.mark.parametrize(("among", "enough"), [(None, FEWEST), (1000, 1000), (64, 64)])
def test_the_images_that_were_asked_for_are_not_cut_to_those_of_the_panel(among, enough):
    assert Previews(among=among)._enough == enough
