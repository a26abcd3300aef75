"""An encoder is loaded with the preprocessing of its images."""

import torch

from ssl_patches.export.load import load_encoder


def test_a_name_of_timm_gives_a_plain_module_and_its_preprocessing():
    encoder, preprocess = load_encoder("test_resnet", pretrained=False)
    assert not encoder.training
    image = preprocess(torch.zeros(3, 40, 50, dtype=torch.uint8))
    assert encoder(image[None]).shape[0] == 1
