"""What watches a run: it sees what is there, says it once everywhere, and changes no bit of what is
learned."""

from __future__ import annotations

import csv
import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from ssl_patches.encoders import build as build_encoders
from ssl_patches.training import build as build_run
from ssl_patches.training.callbacks import eval_copy as copies
from ssl_patches.training.callbacks.health import FEWEST, LAST, Health, Price, is_due
from ssl_patches.training.callbacks.previews import Previews
from ssl_patches.training.callbacks.probes import OnlineProbes, probe_accuracies
from ssl_patches.training.rows import Rows

EVERYTHING = (
    "callbacks=probes",
    "callbacks.health.every=2",
    "callbacks.probes.epochs=0.5",
    "callbacks.probes.images=40",
)
PLAIN = ("callbacks.health.every=2", "~callbacks.previews")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def what_was_learned(run_dir: Path) -> list[torch.Tensor]:
    """Weights, buffers and the optimiser's state of the last checkpoint, as bytes would compare
    them."""
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    states = checkpoint["optimizer_states"][0]["state"].values()
    weights = [
        value for value in checkpoint["state_dict"].values() if isinstance(value, torch.Tensor)
    ]
    return weights + [
        value for state in states for value in state.values() if isinstance(value, torch.Tensor)
    ]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, b) for a, b in zip(first, second, strict=True)
    )


class Constant(nn.Module):
    """In the place of a ViT's last norm: the same feature for every token of every image, and it
    can be trained."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(dim, generator=torch.Generator().manual_seed(0)))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return 0 * tokens + self.value


@pytest.fixture
def constant_encoder(monkeypatch):
    made = build_encoders.next_encoder

    def encoder(cfg, **rest):
        net = made(cfg, **rest)
        net.model.norm = Constant(net.dim)
        return net

    monkeypatch.setattr(build_run, "next_encoder", encoder)


@pytest.mark.parametrize(("task", "epochs"), [("masked", 0.5), ("position", 9)])
def test_weights_are_equal_bit_for_bit_with_and_without_observers(
    only_training, tmp_path, task, epochs
):
    """``position`` asks with places withheld: an encoder remembers what it was shown, and its table
    follows that."""
    alone = only_training(tmp_path / "alone", f"task={task}", "callbacks=none")
    seen = only_training(
        tmp_path / "seen", f"task={task}", *EVERYTHING, f"callbacks.previews.epochs={epochs}"
    )
    assert len(rows(seen / "health.csv")) == len(rows(seen / "probes.csv")) == 2
    assert same(what_was_learned(alone), what_was_learned(seen))
    assert (alone / "metrics.csv").read_text().count("\n") == (
        seen / "metrics.csv"
    ).read_text().count("\n")


@pytest.mark.slow  # shows that the comparison above can fail
def test_an_observer_that_looks_in_place_would_be_caught(only_training, tmp_path, monkeypatch):
    """The same comparison fails when observers are given what trains instead of a copy (BatchNorm
    is calibrated)."""
    words = (
        "encoder=resnet18",
        "encoder.options={layers:[1,1,1,1],channels:[16,24,32,48],stem_width:16}",
        "encoder.patch_size=null",
        "encoder.output_stride=8",
        "data.batch_size=8",
        "data.count=24",
    )
    words = (*words, "budget.images=24")
    alone = only_training(tmp_path / "alone", *words, "callbacks=none")
    seen = only_training(tmp_path / "seen", *words, *PLAIN)
    assert same(what_was_learned(alone), what_was_learned(seen))

    @contextmanager
    def in_place(module):
        with torch.no_grad():
            yield module.eval()
        module.train()

    monkeypatch.setattr(copies, "eval_copy", in_place)
    spoilt = only_training(tmp_path / "spoilt", *words, *PLAIN)
    assert not same(what_was_learned(alone), what_was_learned(spoilt))


def test_a_constant_encoder_raises_the_collapse_alarm_within_one_epoch(
    only_training, tmp_path, constant_encoder, capsys
):
    run = only_training(tmp_path / "run", "~callbacks.previews")
    assert capsys.readouterr().err.count("ALARM collapse at step 4:") == 1
    (alarm,) = json.loads((run / "alarms.json").read_text())
    assert (alarm["name"], alarm["step"]) == (
        "collapse",
        4,
    )  # 64 images, 16 a step: the end of the first epoch
    assert json.loads((run / "summary.json").read_text())["alarms"] == [alarm]


def test_csv_and_terminal_say_the_same_and_a_healthy_run_raises_nothing(
    only_training, tmp_path, capsys
):
    run = only_training(tmp_path / "run", *PLAIN)
    said = capsys.readouterr().err
    assert json.loads((run / "alarms.json").read_text()) == []
    found = rows(run / "health.csv")
    assert [row["step"] for row in found] == ["2", "4"]
    for row in found:
        line = re.search(rf"health at step {row['step']}, 64 held-out images: (.*)", said)[1]
        assert (
            f"loss {float(row['held_out_loss']):.3g} (training {float(row['train_loss']):.3g})"
            in line
        )
        assert f"accuracy {100 * float(row['held_out_accuracy']):.1f} %" in line
        assert f"rank {float(row['effective_rank']):.1f} of 48" in line
        assert f"uniformity {float(row['uniformity']):.3g}" in line
    assert (run / "figures" / "health.png").stat().st_size > 10_000


def test_an_extended_run_goes_on_with_its_panel(only_training, tmp_path):
    run = only_training(tmp_path / "run", *PLAIN)
    before = (run / "health.csv").read_text()
    only_training(run, *PLAIN, "budget.images=128", "resume=true")
    after = (run / "health.csv").read_text()
    assert after.startswith(before)
    assert [row["step"] for row in rows(run / "health.csv")] == ["2", "4", "6", "8"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_run_raises_no_alarm_and_a_constant_encoder_does(
    only_training, tmp_path, request, seed
):
    words = ("~callbacks.previews", "data.count=256", "budget.images=2560", f"seed={seed}")
    words = (*words, "callbacks.health.watch=1", "optimizer.clip=1")
    task = ("jigsaw", "relative", "masked", "position")[seed % 4]
    run = only_training(tmp_path / task, f"task={task}", *words)
    assert json.loads((run / "alarms.json").read_text()) == []
    request.getfixturevalue("constant_encoder")
    run = only_training(tmp_path / "constant", *words, "budget.images=256")
    assert [alarm["name"] for alarm in json.loads((run / "alarms.json").read_text())] == [
        "collapse"
    ]


def test_rows_go_to_file_and_loggers_alike_and_a_resumed_run_writes_them_again(tmp_path):
    class Logger:
        def __init__(self) -> None:
            self.got = []

        def log_metrics(self, metrics, step):
            self.got.append((metrics, step))

    class Trainer:
        loggers = (Logger(),)

    table = Rows(tmp_path / "health.csv")
    for step in (10, 20, 30):
        table.log(Trainer, {"step": step, "rank": step / 3}, prefix="health/")
    assert Trainer.loggers[0].got == [({"health/rank": step / 3}, step) for step in (10, 20, 30)]
    assert table.read() == [{"step": step, "rank": step / 3} for step in (10, 20, 30)]
    table.drop_after(20)
    assert [row["step"] for row in table.read()] == [10, 20]


def test_checks_are_spaced_by_what_they_cost():
    """Half the share, twice as far apart; each image more adds as much."""
    from ssl_patches import config
    from ssl_patches.config.schema import PRETRAIN, SUPPLIED
    from ssl_patches.training.prepare import prepare

    words = (
        "encoder.options={depth:2,embed_dim:48,num_heads:3}",
        "image_size=32",
        "data.num_workers=0",
        "data.batch_size=16",
    )
    run = prepare(config.request("pretrain", words, supplied=SUPPLIED, schema=PRETRAIN))
    price = Health(asked=64)._price(run.module, run.data)
    spacing = {
        (share, images): price.spacing(images, share)
        for share, images in ((0.02, 200), (0.01, 200), (0.02, 400), (0.02, 600))
    }
    assert spacing[0.01, 200] == pytest.approx(2 * spacing[0.02, 200], abs=1)
    more = spacing[0.02, 400] - spacing[0.02, 200]
    assert more > 10
    assert spacing[0.02, 600] - spacing[0.02, 400] == pytest.approx(more, abs=1)


def test_a_short_run_is_checked_on_fewer_images_and_a_long_one_on_all():
    price, health = Price(question=0.01, feature=0.02, asked=256), Health()
    counts = [health._images_for(price, 400, steps) for steps in (50, 500, 5_000, None)]
    assert counts == sorted(counts)
    assert counts[0] == FEWEST
    assert counts[-2:] == [400, 400]
    assert health._images_for(price, 60, 50) == 60  # there are no more
    for steps, count in zip((500, 5_000), counts[1:3], strict=True):
        assert count == FEWEST or price.steps(count) <= LAST * steps


def test_no_check_is_made_shortly_before_the_last_one():
    def checks(**given):
        return [step for step in range(1, 101) if is_due(step, between=30, **given)]

    assert checks(first=10, last=100, apart=0) == [10, 40, 70, 100]
    assert checks(first=10, last=100, apart=31) == [10, 40, 100]
    assert checks(first=90, last=100, apart=31) == []
    assert checks(first=10, last=None, apart=31) == [10, 40, 70, 100]


def test_previews_take_the_features_of_a_check_after_the_same_step(
    only_training, tmp_path, monkeypatch
):
    """Two readings of whole images and one of crops are two passes less for the neighbours."""
    taken = []
    pooled = copies.pooled_features

    def counted(*given, **named):
        taken.append(len(given[2]))
        return pooled(*given, **named)

    monkeypatch.setattr(copies, "pooled_features", counted)
    run = only_training(tmp_path / "run", "callbacks=default")
    assert taken == [4, 64, 64]  # the rehearsal, whole images, crops
    assert (run / "figures" / "neighbours.png").is_file()


def test_oracle_features_answer_every_probe_and_shuffled_labels_none():
    labels = torch.arange(200) % 4
    oracle = torch.eye(4)[labels] + 0.01 * torch.randn(
        200, 4, generator=torch.Generator().manual_seed(0)
    )
    assert probe_accuracies(oracle, labels) == {
        "knn20_top1": 100,
        "linear_top1": 100,
        "largest_class": 25,
    }
    shuffled = labels[torch.randperm(200, generator=torch.Generator().manual_seed(1))]
    assert max(list(probe_accuracies(oracle, shuffled).values())[:2]) < 50


def test_knobs_are_refused_in_one_line():
    for make, said in (
        (
            lambda: Health(images=1),
            "callbacks.health.images=1: must be at least 2; set callbacks.health.images=512",
        ),
        (lambda: Health(every=0), "callbacks.health.every=0: must be at least 1"),
        (lambda: Health(share=0.0), "callbacks.health.share=0.0: a share above 0"),
        (lambda: Previews(epochs=0), "callbacks.previews.epochs=0: must be above 0"),
        (lambda: Previews(images=300), "callbacks.previews.images=300, among=256"),
        (lambda: OnlineProbes(images=3), "callbacks.probes.images=3: at least 10"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            make()


def test_what_is_no_callback_is_refused():
    node = {"_target_": "torch.nn.Identity"}
    with pytest.raises(
        ValueError, match=r"callbacks.mine=torch.nn.Identity: must be a lightning.Callback"
    ):
        build_run.observers({"callbacks": {"mine": node}})
