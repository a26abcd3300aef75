"""What stands behind the encoder: shapes, exactness of the shortened block, refusals."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import Block

from ssl_patches.tasks.blocks import Decoder, LastBlock, Projection, Projector, usual_width


def test_the_last_block_answers_for_some_tokens_as_the_whole_block_does():
    torch.manual_seed(0)
    whole = Block(48, 3, qkv_bias=True).eval()
    some = LastBlock(48, 3, qkv_bias=True).eval()
    some.load_state_dict(whole.state_dict())
    tokens = torch.randn(2, 7, 48)
    with torch.no_grad():
        assert torch.allclose(some(tokens, 3), whole(tokens)[:, 3:], atol=1e-5)


def test_shapes():
    decoder = Decoder(dim=24, width=48, depth=2, heads=3, out=5)
    assert decoder(torch.randn(2, 6, 24), torch.randn(2, 1, 24)).shape == (2, 6, 5)
    assert Projection(dim=24, width=8)(torch.randn(2, 6, 24)).shape == (2, 6, 8)
    assert Projector(dim=24, hidden=8, out=4)(torch.randn(6, 24)).shape == (6, 4)


@pytest.mark.parametrize(("dim", "width"), [(24, 64), (192, 192), (1024, 512)])
def test_the_usual_width_is_the_encoders_in_heads_of_64(dim, width):
    assert usual_width(dim) == width


def test_widths_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"task\.width=50"):
        Decoder(dim=24, width=50, depth=1, heads=3, out=5)
    with pytest.raises(ValueError, match=r"task\.projection=0"):
        Projection(dim=24, width=0)
    with pytest.raises(ValueError, match=r"task\.out=1"):
        Projector(dim=24, hidden=8, out=1)
