"""One query finds the token that tells, and is CAPI's map in another order."""

import torch
from torch import nn

from ssl_patches.evaluation import ProbeInputs
from ssl_patches.evaluation.probes import attentive
from ssl_patches.evaluation.protocol import PROTOCOL

QUICK = {"steps": 200, "batch": 64, "learning_rates": [1e-2, 5e-2], "weight_decays": [1e-3]}


def noise(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_attention_finds_the_token_that_tells_where_the_mean_does_not():
    labels, wanted = torch.arange(600) % 4, torch.arange(200) % 4
    axes = torch.linalg.qr(noise(16, 16, seed=0))[0]

    def images(of, seed):
        tokens = noise(len(of), 30, 16, seed=seed)
        at = torch.randint(30, (len(of),), generator=torch.Generator().manual_seed(seed))
        tokens[torch.arange(len(of)), at] += 6 * (axes[of] + axes[8])
        return tokens.half()

    train, test = images(labels, 1), images(wanted, 2)
    settings = PROTOCOL["attentive"] | QUICK | {"steps": 200}
    answers, chosen = attentive.attentive_probe(
        train, labels, test, kind="class", count=4, **settings
    )
    toy = ProbeInputs(
        model="m", data="d", kind="class", count=4, train={}, train_y=labels, test={}, test_y=wanted
    )
    mean, _ = toy.linear(train.float().mean(1), test.float().mean(1))
    right, pooled = ((found == wanted).double().mean() for found in (answers, mean))
    assert right > 0.9 > 0.8 > pooled
    assert chosen["held_out"] == 60
    assert len(chosen["scores"]) == 2


def test_the_attentive_probe_is_capis_map_in_another_order():
    model = attentive.AttentiveProbes(
        probes=2, dim=128, count=3, scale={"mean": torch.zeros(128), "std": torch.ones(128)}, seed=0
    )
    for seed, parameter in enumerate(model.parameters()):
        parameter.data = 0.3 * noise(*parameter.shape, seed=seed)
    tokens, probe = noise(5, 7, 128, seed=1), model.probes[1]
    keys, values = tokens @ probe.key.T, tokens @ probe.value.T + probe.value_bias
    heads = [part.view(5, 7, 2, 64).transpose(1, 2) for part in (keys, values)]
    seen = nn.functional.scaled_dot_product_attention(
        probe.query.view(1, 2, 1, 64).expand(5, -1, -1, -1), *heads
    )
    expected = seen.transpose(1, 2).reshape(5, 128) @ probe.label.T + probe.label_bias
    assert torch.allclose(model(tokens)[1], expected, atol=1e-3, rtol=1e-4)
    assert not torch.allclose(model(tokens)[0], expected, atol=1e-1)
