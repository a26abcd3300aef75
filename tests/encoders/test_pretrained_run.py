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
