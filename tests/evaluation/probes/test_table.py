"""Probes are found by name: ours, and a user's own file and YAML in a ``--config-dir``."""

import json

import pytest

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.evaluation import PROBES, Record
from ssl_patches.evaluation.of_run import evaluate_run
from ssl_patches.evaluation.probes import table
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.export import read_card

MINE = """
from ssl_patches.evaluation import Probe


class Spread(Probe):
    reads = frozenset({"pooled"})

    def __init__(self, *, power: int = 2):
        self.protocol = {"power": power}

    def rows(self, inputs):
        labels = inputs.test_y.roll(1)
        return inputs.rows("spread", labels)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder for ``--config-dir`` with a probe in it, whose class is importable."""
    (tmp_path / "conf" / "probe").mkdir(parents=True)
    (tmp_path / "my_spread.py").write_text(MINE)
    (tmp_path / "conf" / "probe" / "spread.yaml").write_text(
        "# My own probe.\n_target_: my_spread.Spread\npower: 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "conf"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "at least one"),
        (["lnear"], "did you mean 'linear'"),
        (["knn", "knn"], "named twice"),
        (["roles"], r"probes=\[roles\].*pip install experiments/patch_roles"),
    ],
)
def test_probes_that_are_none_are_refused(names, said):
    with pytest.raises(ValueError, match=said):
        table.check_names(names)


def test_ours_are_those_of_conf_and_each_says_what_it_needs():
    assert {"knn", "linear", "layers", "attentive", "lowshot", "segmentation"} <= set(PROBES)
    assert all(isinstance(probe, Probe) for probe in PROBES.values())
    assert PROBES["finetune"].cuts
    assert not PROBES["knn"].cuts
    assert PROBES["segmentation"].wants == "masks"
    assert PROBES["segmentation"].pixels
    assert not PROBES["layers"].pixels


def test_a_file_and_a_yaml_are_a_probe_of_the_evaluate_command(
    own, finished_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = [f"model={finished_run}", "train_images=32", "test_images=16", "output=rows.npz"]
    assert main(["evaluate", *words, "probes=[spread]", "--config-dir", str(own), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(row["model"], row["metric"]) for row in rows} == {
        ("trained", "spread_top1"),
        ("random_init", "spread_top1"),
    }
    assert Record.load(tmp_path / "rows.npz").protocol["spread"] == {"power": 3}
    assert main(["evaluate", *words, "probes=[spread]"]) == 2
    assert "probes=[spread]: no such probe" in capsys.readouterr().err


def test_a_run_remembers_the_probe_of_a_folder_and_its_knobs_are_checked(own, run_copy):
    words = ["evaluation.probes=[spread,knn]"]
    rules = {"supplied": SUPPLIED, "schema": PRETRAIN}
    cfg = config.request("pretrain", words, config_dirs=[own], **rules)
    assert cfg["evaluation"]["probe"] == {"spread": {"_target_": "my_spread.Spread", "power": 3}}
    assert "probe" not in config.request("pretrain", [], config_dirs=[own], **rules)["evaluation"]
    table.check_probes(cfg["evaluation"], "evaluation.")

    card = read_card(run_copy / "encoder")["config"]
    some = {key: cfg["evaluation"][key] for key in ("probes", "probe")}
    settings = {**card["evaluation"], **some, "train_images": 32, "test_images": 16}
    rows = evaluate_run(
        run_copy / "encoder",
        {**card, "evaluation": settings, "run_dir": str(run_copy)},
        say=lambda text: None,
    )
    assert "spread_top1" in {row["metric"] for row in rows}

    yaml = own / "probe" / "spread.yaml"
    yaml.write_text(yaml.read_text().replace("power", "pwer"))
    with pytest.raises(config.BadRequest, match=r"evaluation\.probe\.spread\.pwer.*'.*power'"):
        config.request("pretrain", words, config_dirs=[own], **rules)


def test_a_target_that_is_no_probe_is_refused():
    with pytest.raises(ValueError, match=r"probes=\[x\]: builtins\.dict is no Probe"):
        table.probes_named(["x"], {"x": {"_target_": "builtins.dict"}})


def test_only_probes_with_numbers_of_their_own_say_them():
    plain, own = Probe(), Probe()
    own.protocol = {"k": 3}
    assert table.own_numbers({"plain": plain, "own": own}) == {"own": {"k": 3}}
