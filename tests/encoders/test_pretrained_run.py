"""A run that begins from weights of others says so, and can be restored when their file is gone."""

from __future__ import annotations

import timm
import torch

from ssl_patches.cli import main
from ssl_patches.config.run_dir import LAST

WORDS = [
    "encoder.options={depth:2,embed_dim:48,num_heads:3,class_token:true}",
    "encoder.patch_size=8",
]


def test_a_run_begins_from_a_file_and_is_restored_without_it(only_training, tmp_path, capsys):
    from ssl_patches import config
    from ssl_patches.export.command import restored

    sizes = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}
    plain = timm.create_model("vit_tiny_patch16_224", num_classes=0, **sizes)
    torch.save(plain.state_dict(), tmp_path / "weights.pth")
    words = [*WORDS, f"encoder.pretrained={tmp_path / 'weights.pth'}", "optimizer.base_lr=0"]
    run_dir = only_training(tmp_path / "run", *words)
    assert "30 of 30 tensors matched" in capsys.readouterr().err
    (tmp_path / "weights.pth").unlink()
    encoder, _ = restored(config.load(run_dir / "config.yaml"), run_dir / LAST)
    assert torch.equal(encoder.model.blocks[1].mlp.fc1.weight, plain.blocks[1].mlp.fc1.weight)
    assert torch.equal(encoder.table, plain.pos_embed[0, 1:])
    capsys.readouterr()
    assert main(["pretrain", *words, "image_size=32", f"run_dir={tmp_path / 'other'}"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_run_that_keeps_the_statistics_of_its_weights_exports_them(only_training, tmp_path):
    from ssl_patches.encoders.subject import open_model
    from ssl_patches.evaluation.one_model import untrained_of

    plain = timm.create_model("resnet10t", num_classes=0)
    drawn = torch.Generator().manual_seed(0)
    for key, value in plain.state_dict().items():
        if key.endswith(("running_mean", "running_var")):
            value.add_(torch.rand(value.shape, generator=drawn) / 10)
    torch.save(plain.state_dict(), tmp_path / "weights.pth")
    words = ["task=agree", "encoder.name=resnet10t", "encoder.fixed_statistics=true"]
    words += ["encoder.patch_size=null", "encoder.options=null"]
    words += [f"encoder.pretrained={tmp_path / 'weights.pth'}"]
    run_dir = only_training(tmp_path / "run", *words)
    assert main(["export", f"model={run_dir}", f"output={run_dir / 'encoder'}"]) == 0
    subject = open_model(str(run_dir), pretrained=True)
    found = subject.model.state_dict()
    kept = {key: value for key, value in plain.state_dict().items() if "running" in key}
    assert all(torch.equal(found[key], value) for key, value in kept.items())
    assert not torch.equal(found["conv1.0.weight"], plain.conv1[0].weight), "it has learned"
    floor = untrained_of(subject, subject.cfg["data"], None, None, ()).state_dict()
    initial = ("running_mean", 0.0), ("running_var", 1.0)
    for end, value in initial:
        assert all((floor[key] != value).any() for key in floor if key.endswith(end)), (
            "random weights are calibrated, there is nothing to keep"
        )


def test_statistics_of_random_weights_are_not_kept(tmp_path, capsys):
    words = ["encoder.name=resnet10t", "encoder.fixed_statistics=true", "image_size=32"]
    assert main(["pretrain", *words, f"run_dir={tmp_path / 'run'}", "data=embedded"]) == 2
    assert "encoder.fixed_statistics=true: random weights" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
