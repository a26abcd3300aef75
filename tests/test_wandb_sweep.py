"""The example sweeps, as an agent of W&B runs them: no account, the client's own words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small import REPOSITORY, SMALL
from wandb_files import Written

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED

SWEEPS = sorted((REPOSITORY / "experiments" / "wandb_sweep").glob("*.yaml"))


def chosen(parameters: dict, end: int) -> dict[str, dict]:
    """One value of each parameter, as a server sends them: the first or the last."""
    return {
        name: {"value": known["values"][end] if "values" in known else known[("min", "max")[end]]}
        for name, known in parameters.items()
    }


def command_of(sweep: dict, end: int) -> list[str]:
    """The command that the agent starts, put together by the client as ``Agent`` does it."""
    from wandb.sdk.launch.sweeps import utils

    words = utils.create_sweep_command(list(sweep["command"]))
    macros = utils.create_sweep_command_args({"args": chosen(sweep["parameters"], end)})
    macros |= {"program": [sweep["program"]], "env": ["/usr/bin/env"]}
    whole = [word for word in words if word.startswith("${") and word.endswith("}")]
    assert {word[2:-1] for word in whole} <= macros.keys()
    return [part for word in words for part in (macros[word[2:-1]] if word in whole else [word])]


@pytest.mark.parametrize("end", [0, -1])
@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_what_an_agent_types_is_a_request_of_a_run_of_its_own(file: Path, end: int, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    sweep = yaml.safe_load(file.read_text(encoding="utf-8"))
    env, program, command, *words = command_of(sweep, end)
    assert (env, program, command) == ("/usr/bin/env", "ssl-patches", "pretrain")
    cfg = mixture.request(words, supplied=SUPPLIED, schema=PRETRAIN)
    assert cfg["run_dir"] == "runs/wandb_sweep/abc123"
    if "metric" in sweep:  # what it is chosen by is logged
        assert sweep["metric"]["name"].startswith("probes/")
        assert "probes" in cfg["callbacks"]


def test_every_way_of_sweeping_is_shown_and_the_clients_schema_takes_it():
    from wandb.sdk.launch.sweeps.utils import load_sweep_config

    methods = {load_sweep_config(str(file))["method"] for file in SWEEPS}
    assert methods == {"grid", "random", "bayes"}


@pytest.mark.slow
def test_runs_of_an_agent_are_runs_that_compare_reads(tmp_path):
    import os

    sweep = yaml.safe_load(SWEEPS[1].read_text(encoding="utf-8"))
    for end, run in ((0, "first"), (-1, "last")):
        env = {**os.environ, "WANDB_SWEEP_ID": "s7", "WANDB_RUN_ID": run, "WANDB_MODE": "offline"}
        words = command_of(sweep, end)[2:]
        done = subprocess.run(
            [sys.executable, "-m", "ssl_patches", *words, *SMALL, "budget.flops=null"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        written = Written(tmp_path / "runs" / "wandb_sweep" / run)
        assert (written.run.run_id, written.run.run_group) == (run, "s7")
    done = subprocess.run(
        [sys.executable, "-m", "ssl_patches", "compare", "runs/wandb_sweep"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
