"""Say which of our words does what one of Hydra's own settings does elsewhere.

The program is no Hydra application: plugins of launchers and sweepers find nothing to start here.
People type them all the same, so each is answered by the word that does it.
"""

from __future__ import annotations

import re

OWN = re.compile(r"hydra([./]|$)")
"""How the keys of Hydra's own settings begin."""

WHERE = "of `pretrain -m` and `study`"
LAUNCHERS = {
    "basic": "take it out, runs follow each other anyway",
    "joblib": f"processes of this machine are workers=N {WHERE}",
    "ray": f"a cluster of Ray, or this machine, is launcher=ray {WHERE}",
    "ray_aws": f"start the cluster with `ray up`, then launcher=ray ray.address=auto {WHERE}",
    "rq": f"processes of this machine are workers=N {WHERE}",
    "submitit_local": f"processes of this machine are workers=N {WHERE}",
    "submitit_slurm": f"a Slurm array is launcher=slurm workers=N {WHERE}",
}
SWEEPERS = {"basic": "take it out, every override with several values is an axis of `pretrain -m`"}
TUNE = "Optuna is `tune:` with trials: N in a study.yaml (docs/studies.md)"
KEYS = {
    "hydra.launcher.n_jobs": f"give workers=VALUE {WHERE}",
    "hydra.run.dir": "give run_dir=VALUE",
    "hydra.sweep.dir": "give run_dir=VALUE",
    "hydra.sweep.subdir": "take it out, runs are named by what they vary",
    "hydra.mode": "give -m for several runs",
    "hydra.sweeper.n_trials": "give trials: VALUE below tune of a study.yaml",
    "hydra.sweeper.n_jobs": f"give workers=VALUE {WHERE}",
    "hydra.searchpath": "give --config-dir DIR",
}
SLURM = (
    *("partition", "account", "qos", "comment", "constraint", "exclude", "nodes", "mem_gb"),
    *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "gres", "setup"),
)
"""Settings of Hydra's launcher for Slurm that submitit has under the same name."""


def of_hydra(key: str) -> bool:
    """Tell whether a key is one of Hydra's own settings."""
    return bool(OWN.match(key.lstrip("+~")))


def our_word(text: str) -> str:
    """Return the refusal of one of Hydra's own settings, with the word that does the same here."""
    key, _, raw = text.lstrip("+~").partition("=")
    return f"{text}: Hydra's own settings have no effect here; {_remedy(key, raw)}"


def _remedy(key: str, raw: str) -> str:
    if key in KEYS:
        return KEYS[key].replace("VALUE", raw or "VALUE")
    if key in ("hydra/launcher", "hydra.launcher"):
        return LAUNCHERS.get(
            raw, f"workers=N and launcher=slurm {WHERE} run several at once; take it out"
        )
    if key in ("hydra/sweeper", "hydra.sweeper"):
        return SWEEPERS.get(raw, TUNE)
    if key.startswith("hydra.launcher."):
        name = key.rpartition(".")[2]
        if name in SLURM:
            return f"give slurm.{name}={raw} with launcher=slurm"
        return f"take it out (workers=N and launcher=slurm {WHERE} run several at once)"
    if key.startswith("hydra.sweeper.params."):
        name = key.removeprefix("hydra.sweeper.params.")
        return f"give {name}={raw} with -m, or below tune.values of a study.yaml"
    if key.startswith("hydra.sweeper."):
        return TUNE
    return "take it out (see run_dir=, --config-dir)"
