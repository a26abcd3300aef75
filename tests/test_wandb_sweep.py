"""The example sweeps, as an agent of W&B runs them: no account, and a stub for the server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import wandb_server
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


@pytest.mark.slow
def test_sweep_and_agent_work_as_they_are(tmp_path):
    """The client's own commands: a sweep is made, and an agent starts our command for each run."""
    sweep = yaml.safe_load((SWEEPS[1].parent / "grid.yaml").read_text(encoding="utf-8"))
    sweep["command"][-1:-1] = [*SMALL, "budget.flops=null"]
    sweep["parameters"]["seed"]["values"] = [0]
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(sweep))
    program = tmp_path / "bin" / "ssl-patches"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ssl_patches "$@"\n')
    program.chmod(0o755)
    with wandb_server.serving() as server:
        env = {**os.environ, **wandb_server.environment(server, tmp_path / "home")}
        env["PATH"] = f"{program.parent}:{env['PATH']}"
        for words in (["sweep", "grid.yaml"], ["agent", "me/ssl_patches/sweep0"]):
            done = subprocess.run(
                [sys.executable, "-m", "wandb", *words],
                env=env,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    given = server.sweeps["sweep0"].given
    assert [args["task"] for args in given.values()] == ["jigsaw", "masked"]
    assert list(server.runs) == list(given)
    for name, run in server.runs.items():
        said = {key: run.said[key] for key in ("sweep", "groupName", "project")}
        assert said == {"sweep": "sweep0", "groupName": "sweep0", "project": "ssl_patches"}
        assert run.exits == [0]
        assert any(key.startswith("results/") for key in run.summary)
        kept = yaml.safe_load((tmp_path / f"runs/wandb_sweep/{name}/config.yaml").read_text())
        assert kept["task"]["_target_"].lower().endswith(given[name]["task"])
    done = subprocess.run(
        [sys.executable, "-m", "ssl_patches", "compare", "runs/wandb_sweep", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {"jigsaw", "masked"} <= set(re.findall(r"jigsaw|masked", done.stdout))
