"""How a run is executed: divided steps, the average, loss that is no number, precision, signals,
full disks."""

from __future__ import annotations

import csv
import itertools
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from small import SMALL

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.encoders import build as build_encoders
from ssl_patches.training.callbacks import ema
from ssl_patches.training.callbacks.checkpoint import Checkpoints
from ssl_patches.training.callbacks.nonfinite import replay
from ssl_patches.training.onednn import linears_in_onednn
from ssl_patches.training.prepare import prepare
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.settings import TrainerSettings, compile_in_place

DRAWLESS = ("task=relation", "task.placed=0", "views=none", "sampler=tokens", "sampler.tile=8")
"""A task whose loss is a function of the images alone: all tiles are asked about, in an order that
does not matter."""


def last(run_dir: Path) -> dict:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return {
        key: value
        for key, value in last(run_dir)["state_dict"].items()
        if isinstance(value, torch.Tensor)
    }


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Of the two, relative to the largest value of each tensor."""
    assert one.keys() == other.keys()
    return max(
        float((one[key] - other[key]).abs().max() / other[key].abs().max().clamp(min=1e-12))
        for key in one
    )


@contextmanager
def first_gradients(monkeypatch) -> Iterator[dict[str, torch.Tensor]]:
    """Within: the gradients of the first step, by parameter, in the order of processes that were
    joined."""
    found: dict[str, torch.Tensor] = {}
    before = Pretrainer.on_before_optimizer_step

    def look(module: Pretrainer, optimizer) -> None:
        if module.global_step == 0:
            found.update(
                {
                    name: p.grad.clone()
                    for name, p in module.named_parameters()
                    if p.grad is not None
                }
            )
        before(module, optimizer)

    with monkeypatch.context() as patch:
        patch.setattr(Pretrainer, "on_before_optimizer_step", look)
        yield found


def test_accumulated_shards_are_one_large_batch(only_training, tmp_path, monkeypatch):
    """Loss and gradients to 1e-6, the learning rate that of the large batch; a ViT has no
    statistics over a batch."""
    with first_gradients(monkeypatch) as whole:
        large = only_training(tmp_path / "large", *DRAWLESS, "data.batch_size=16")
    with first_gradients(monkeypatch) as divided:
        small = only_training(
            tmp_path / "small", *DRAWLESS, "data.batch_size=4", "trainer.accumulate=4"
        )
    assert largest_difference(divided, whole) < 1e-6
    for key in ("step", "images", "lr"):
        assert [row[key] for row in rows(small)] == [row[key] for row in rows(large)]
    assert float(rows(small)[0]["loss"]) == pytest.approx(float(rows(large)[0]["loss"]), rel=1e-6)
    with first_gradients(monkeypatch) as other:  # the comparison sees a shard that is missing
        only_training(tmp_path / "other", *DRAWLESS, "data.batch_size=4", "trainer.accumulate=3")
    assert largest_difference(other, whole) > 1e-2


def test_accumulating_runs_resume_to_the_bit_and_another_batch_is_refused(
    only_training, tmp_path, capsys
):
    words = ("data.batch_size=4", "trainer.checkpoint_steps=3")
    wanted = only_training(tmp_path / "unbroken", *words, "trainer.accumulate=2")
    run_dir = Path(shutil.copytree(wanted, tmp_path / "resumed"))
    shutil.copy(
        run_dir / "checkpoints" / "step-00000006.ckpt", run_dir / "checkpoints" / "last.ckpt"
    )
    capsys.readouterr()
    only_training(run_dir, *words, "trainer.accumulate=3", "resume=true", code=2)
    said = capsys.readouterr().err
    assert (
        "resume=true: the run had 8 images per step and would now have 12; make trainer.accumulate"
        in said
    )
    only_training(run_dir, *words, "trainer.accumulate=2", "resume=true")
    assert all(value.equal(weights(wanted)[key]) for key, value in weights(run_dir).items())
    assert last(run_dir)["global_step"] == 8


def test_no_checkpoint_and_no_stop_in_the_middle_of_a_step(only_training, tmp_path, monkeypatch):
    shards = []
    after = Pretrainer.on_train_batch_end

    def pressed(module: Pretrainer, *arguments) -> None:
        after(module, *arguments)
        shards.append(module.global_step)
        if len(shards) == 4:  # the first of three shards of the second step
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Pretrainer, "on_train_batch_end", pressed)
    words = (
        "data.batch_size=4",
        "trainer.accumulate=3",
        "trainer.checkpoint_minutes=0",
        "budget.images=96",
    )
    run_dir = only_training(tmp_path / "run", *words, code=1)
    assert shards == [0, 0, 1, 1, 1, 2]
    counted = last(run_dir)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"]
    assert (last(run_dir)["global_step"], counted) == (2, 6)
    assert [int(row["step"]) for row in rows(run_dir)] == [1, 2]


def test_what_is_opt_in_changes_nothing_by_its_presence(only_training, tmp_path):
    """The average observes: weights, optimiser and losses of a run are the same to the bit with
    it."""
    plain = only_training(tmp_path / "plain")
    watched = only_training(tmp_path / "watched", "trainer.ema=0.9", "trainer.checkpoint_minutes=0")
    assert [row["loss"] for row in rows(plain)] == [row["loss"] for row in rows(watched)]
    kept = {key: value for key, value in weights(watched).items() if not key.startswith("ema.")}
    assert all(value.equal(weights(plain)[key]) for key, value in kept.items())
    assert kept.keys() == weights(plain).keys()


@pytest.mark.parametrize("encoder", [(), ("encoder=resnet18", "encoder.options={layers:[1,1,1,1]}", "encoder.patch_size=null")],
                         ids=["vit", "resnet"])  # fmt: skip
def test_the_average_follows_the_encoder_and_an_encoder_takes_it(encoder, only_training, tmp_path):
    words = (
        *encoder,
        "data.batch_size=8",
        "budget.images=24",
        "trainer.checkpoint_steps=1",
        "trainer.checkpoints_kept=9",
    )
    run_dir = only_training(tmp_path / "run", *words, "trainer.ema=0.5")
    files = sorted((run_dir / "checkpoints").glob("step-*.ckpt"))
    states = [torch.load(file, weights_only=True)["state_dict"] for file in files]
    names = [key.removeprefix("encoder.") for key in states[0] if key.startswith("encoder.")]
    assert {key for key in states[0] if key.startswith("ema.")} == {f"ema.{name}" for name in names}
    for step, (before, state) in enumerate(itertools.pairwise(states), 2):
        decay = min(0.5, (1 + step) / (10 + step))
        for name in names:
            new, own, old = state[f"ema.{name}"], state[f"encoder.{name}"], before[f"ema.{name}"]
            if not new.is_floating_point():
                assert new.equal(own)
            else:
                torch.testing.assert_close(new, decay * old + (1 - decay) * own)
    moved = [
        name for name in names if not states[-1][f"encoder.{name}"].equal(states[-1][f"ema.{name}"])
    ]
    assert len(moved) > 5
    taken = build_encoders.encoder(config.load(run_dir / "config.yaml"))
    taken.load_state_dict({name: states[-1][f"ema.{name}"] for name in names})


def test_the_average_is_resumed_to_the_bit_taken_up_and_let_go(only_training, tmp_path):
    wanted = only_training(tmp_path / "unbroken", "trainer.ema=0.9", "trainer.checkpoint_steps=2")
    run_dir = Path(shutil.copytree(wanted, tmp_path / "resumed"))
    shutil.copy(
        run_dir / "checkpoints" / "step-00000002.ckpt", run_dir / "checkpoints" / "last.ckpt"
    )
    only_training(run_dir, "trainer.ema=0.9", "resume=true")
    assert all(value.equal(weights(wanted)[key]) for key, value in weights(run_dir).items())
    only_training(run_dir, "resume=true", "budget.images=80")
    assert not any(key.startswith("ema.") for key in weights(run_dir))
    only_training(run_dir, "resume=true", "budget.images=96", "trainer.ema=0.9")
    assert any(key.startswith("ema.") for key in weights(run_dir))


def test_an_average_that_does_not_follow_is_seen(only_training, tmp_path, monkeypatch):
    monkeypatch.setattr(ema, "follow", lambda pairs, *, decay: None)
    state = weights(only_training(tmp_path / "run", "trainer.ema=0.5"))
    initial = build_encoders.encoder(config.load(tmp_path / "run" / "config.yaml")).state_dict()
    assert all(
        state[f"ema.{name}"].equal(value)
        for name, value in initial.items()
        if value.is_floating_point()
    )


@contextmanager
def poisoned(monkeypatch, step: int) -> Iterator[None]:
    """Within: the loss of ``step`` is no number."""
    honest = Pretrainer.losses

    def losses(module: Pretrainer, images: torch.Tensor):
        total, metrics = honest(module, images)
        if module._trainer is not None and module.global_step == step:
            total = total * float("nan")
            metrics["loss"] = total.detach()
        return total, metrics

    with monkeypatch.context() as patch:
        patch.setattr(Pretrainer, "losses", losses)
        yield


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_step(
    only_training, tmp_path, monkeypatch, capsys
):
    wanted = only_training(
        tmp_path / "healthy", "trainer.checkpoint_steps=1", "trainer.checkpoints_kept=9"
    )
    capsys.readouterr()
    with poisoned(monkeypatch, 2):
        run_dir = only_training(tmp_path / "sick", code=1)
    path = run_dir / "nonfinite-step-2.ckpt"
    said = capsys.readouterr().err
    assert f"step 2: the loss is no finite number; the step is kept in {path}" in said
    assert "Traceback" not in said
    kept = torch.load(path, weights_only=True)
    before = torch.load(wanted / "checkpoints" / "step-00000002.ckpt", weights_only=True)[
        "state_dict"
    ]
    assert kept["nonfinite"]["weights_before"]
    assert all(kept["state_dict"][key].equal(value) for key, value in before.items()
               if isinstance(value, torch.Tensor) and "running" not in key and "batches" not in key)  # fmt: skip
    run = prepare(config.load(wanted / "config.yaml"))
    with linears_in_onednn(run.module) if run.settings.products() else nullcontext():
        (loss,) = replay(run.module, run.data, kept)
    assert float(loss) == float(
        rows(wanted)[2]["loss"]
    )  # without the poison the very same step: images, draws, weights


def test_where_looking_would_wait_the_optimiser_stands_still_from_the_bad_step_on(
    only_training, tmp_path, monkeypatch
):
    """What happens on a GPU, shown on a CPU: nobody looks before the end, and the weights are those
    before the step."""
    from ssl_patches.training.callbacks import nonfinite

    look = nonfinite.StopAtNonFinite._look

    def late(callback, trainer, module, step) -> None:
        if step == 4:
            look(callback, trainer, module, step)

    wanted = only_training(
        tmp_path / "healthy", "trainer.checkpoint_steps=1", "trainer.checkpoints_kept=9"
    )
    before = torch.load(wanted / "checkpoints" / "step-00000001.ckpt", weights_only=True)
    monkeypatch.setattr(nonfinite.StopAtNonFinite, "_look", late)
    with poisoned(monkeypatch, 1):
        only_training(tmp_path / "sick", code=1)
    kept = torch.load(tmp_path / "sick" / "nonfinite-step-1.ckpt", weights_only=True)
    assert kept["nonfinite"]["step"] == 1
    assert kept["nonfinite"]["weights_before"]
    states, held = kept["optimizer_states"][0]["state"], before["optimizer_states"][0]["state"]
    assert all(states[at][key].equal(value) for at in held for key, value in held[at].items())
    named = {key: value for key, value in before["state_dict"].items() if key.endswith("weight")}
    assert all(kept["state_dict"][key].equal(value) for key, value in named.items())


def test_sigusr1_saves_and_leaves(only_training, tmp_path, monkeypatch, capsys):
    after = Pretrainer.on_train_batch_end

    def warned(module: Pretrainer, *arguments) -> None:
        after(module, *arguments)
        if module.global_step == 3:
            signal.raise_signal(signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Pretrainer, "on_train_batch_end", warned)
    run_dir = only_training(tmp_path / "run", code=1)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("stopped after 3 steps, saved in")
    assert said.endswith(f"go on with run_dir={run_dir} resume=true")
    assert last(run_dir)["global_step"] == 3
    assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)) == before


@contextmanager
def full_disk(monkeypatch, step: int, room: int) -> Iterator[None]:
    """Within: from ``step`` on no file can grow beyond ``room`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    write = Checkpoints.write

    def limited(callback: Checkpoints, trainer) -> None:
        if trainer.global_step >= step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        write(callback, trainer)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "write", limited)
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kept", [1, 2])
def test_a_full_disk_does_not_cost_the_last_good_checkpoint(
    kept, only_training, tmp_path, monkeypatch, capsys
):
    words = ("trainer.checkpoint_steps=1", f"trainer.checkpoints_kept={kept}")
    wanted = only_training(tmp_path / "unbroken")
    capsys.readouterr()
    run_dir = tmp_path / "run"
    with full_disk(monkeypatch, 3, 100_000):
        only_training(run_dir, *words, code=1)
    said = capsys.readouterr().err
    assert f"{run_dir}: cannot be written" in said
    assert (
        f"{run_dir / 'checkpoints' / 'last.ckpt'} is whole; make room, then go on with"
        f" run_dir={run_dir} resume=true" in said
    )
    assert "Traceback" not in said
    assert last(run_dir)["global_step"] == 2
    assert [
        file.name for file in (run_dir / "checkpoints").iterdir() if file.suffix == ".half"
    ] == []
    only_training(run_dir, *words, "resume=true")
    assert all(value.equal(weights(wanted)[key]) for key, value in weights(run_dir).items())


def test_precision_auto_is_what_the_hardware_has_and_says_why(
    only_training, tmp_path, monkeypatch, capsys
):
    for found, wanted, why in (
        (
            {"avx512_bf16": True},
            "bf16",
            "precision bf16 (auto: this CPU has AVX512-BF16; trainer.precision=fp32 turns it off)",
        ),
        (
            {"avx2": True},
            "fp32",
            (
                "precision fp32 (auto: this CPU has no bf16 arithmetic of its own, which would be"
                " slower)"
            ),
        ),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        run_dir = only_training(
            tmp_path / wanted, "trainer.precision=auto", "trainer.device=cpu", "budget.images=16"
        )
        assert why in capsys.readouterr().err
        assert config.load(run_dir / "config.yaml")["trainer"]["precision"] == wanted
    assert rows(tmp_path / "bf16")[0]["loss"] != rows(tmp_path / "fp32")[0]["loss"]


def test_settings_out_of_range_are_refused_by_their_key():
    for knobs, told in (
        ({"accumulate": 0}, r"trainer.accumulate=0: must be 1 or more; set trainer.accumulate=1"),
        ({"devices": 0}, r"trainer.devices=0"),
        ({"ema": 1.0}, r"trainer.ema=1.0: a decay"),
        ({"checkpoint_minutes": float("nan")}, r"trainer.checkpoint_minutes=nan"),
        ({"strategy": "fsdp"}, r"trainer.strategy=fsdp: divides.*trainer.devices=2"),
        (
            {"strategy": "fsdp", "devices": 2, "ema": 0.9, "device": "cpu"},
            r"trainer.ema=0.9: are not supported together",
        ),
    ):
        with pytest.raises(ValueError, match=told):
            TrainerSettings(**knobs)


@pytest.mark.parametrize("optimizer", ["lars", "lamb"])
def test_the_other_optimisers_resume_to_the_bit(optimizer, only_training, tmp_path):
    words = (f"optimizer={optimizer}", "trainer.checkpoint_steps=2")
    wanted = only_training(tmp_path / "unbroken", *words)
    run_dir = Path(shutil.copytree(wanted, tmp_path / "resumed"))
    shutil.copy(
        run_dir / "checkpoints" / "step-00000002.ckpt", run_dir / "checkpoints" / "last.ckpt"
    )
    only_training(run_dir, *words, "resume=true")
    assert all(value.equal(weights(wanted)[key]) for key, value in weights(run_dir).items())


def small(*words: str) -> Pretrainer:
    given = {word.partition("=")[0] for word in words}
    kept = [word for word in SMALL if word.partition("=")[0] not in given]
    return prepare(
        config.request("pretrain", [*kept, *words], supplied=SUPPLIED, schema=PRETRAIN)
    ).module


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked", "jigsaw"])
def test_a_compiled_step_gives_the_loss_and_the_gradients_of_the_plain_one(task):
    import torch._inductor.config as inductor

    found, names = [], []
    for compiled in (False, True):
        module = small(f"task={task}", "trainer.compile=true")
        if compiled:
            compile_in_place(module.tasks.values())
        names.append(list(module.state_dict()))
        torch.manual_seed(0)
        with inductor.patch(fallback_random=True):  # the same draws
            loss, _ = module.train().losses(torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8))
            loss.backward()
        found.append(
            {
                "loss": loss.detach(),
                **{name: p.grad for name, p in module.named_parameters() if p.grad is not None},
            }
        )
    assert names[0] == names[1]
    felt = {
        key for key, value in found[0].items() if value.abs().max() > 1e-6
    }  # a BatchNorm takes out what shifts all
    assert len(felt) > len(found[0]) - 3
    assert largest_difference(*({key: side[key] for key in felt} for side in found[::-1])) < 1e-4
    assert all(found[1][key].abs().max() < 1e-6 for key in found[0].keys() - felt)


def test_tensorboard_is_written_or_asked_for(only_training, tmp_path, monkeypatch, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_dir = only_training(tmp_path / "run", "logger=tensorboard", "~callbacks.health")
    events = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    assert set(events.Tags()["images"]) == {
        f"previews/{name}" for name in ("jigsaw", "neighbours", "patches")
    }
    assert [(event.step, pytest.approx(event.value)) for event in events.Scalars("loss")] == [
        (int(row["step"]), float(row["loss"])) for row in rows(run_dir)
    ]


def test_a_logger_that_is_not_installed_is_told_before_anything_is_written(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    assert main(["pretrain", *SMALL, "logger=tensorboard", f"run_dir={tmp_path / 'run'}"]) == 2
    assert (
        "logger=tensorboard: needs the package tensorboard; pip install 'ssl-patches[tensorboard]'"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
