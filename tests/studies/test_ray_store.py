"""A study on three nodes of Ray that share no disk: an S3 service keeps its runs, one is killed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ray_nodes import start_study, three_nodes, wait_for
from s3_server import ACCESS, moto_server, needs_moto

from ssl_patches.cli import main
from ssl_patches.config.messages import BadRequest
from ssl_patches.studies.mirror import states
from ssl_patches.studies.object_store import ObjectStore
from ssl_patches.studies.store_mark import only_driver

pytestmark = [pytest.mark.slow, needs_moto]
SEEDS, STEPS = [0, 1, 2], 400


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with moto_server() as port:
        found = ObjectStore(
            "s3://bucket/study", {"endpoint_url": f"http://127.0.0.1:{port}", **ACCESS}
        )
        missing = r"ray\.store=s3://bucket/study: is not there; make"
        with pytest.raises(BadRequest, match=missing), only_driver(found):
            pass
        found._opened[0].mkdir("bucket")
        yield found


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def one(out: Path, seed: int) -> Path:
    (found,) = out.glob(f"cells/*seed{seed}*")
    return found


def test_a_run_of_a_lost_node_goes_on_from_the_store(store, tiny_study, tmp_path, capsys) -> None:
    """Weights are those of a run that nobody disturbed, bit for bit; ``compare`` reads what was
    fetched; a second command is refused meanwhile."""
    folder = tiny_study(axes={"seed": SEEDS}, budget={"images": 16 * STEPS})
    options = json.dumps(store.options).replace('"', "")
    words = [f"ray.store={store.url}", f"ray.store_options={options}"]
    out, nodes = tmp_path / "out", tmp_path / "nodes"
    nodes.mkdir()
    with three_nodes(nodes) as cluster:
        process = start_study(folder, cluster, *words)
        wait_for(lambda: len(states(store)) == len(SEEDS), process)
        with pytest.raises(BadRequest, match="works with it"), only_driver(store):
            pass
        assert not any(state.finished for each in states(store).values() for state in each)
        assert not list(out.glob("cells/*/checkpoints/last.ckpt"))  # the nodes do not see it
        cluster.remove_node(cluster.extra.pop(), allow_graceful=False)
        said = process.communicate(timeout=1500)
        assert process.returncode == 0, said

    logs = {file: file.read_text() for file in (out / "logs").glob("*.log")}
    begun = {file: len(re.findall(r"process \d+ begins", text)) for file, text in logs.items()}
    assert sorted(begun.values()) == [1, 1, 2]
    lost = next(file for file, times in begun.items() if times == 2)
    (step,) = re.findall(r"resumed at step (\d+)", logs[lost])
    assert int(step) >= 20
    for seed in SEEDS:
        summary = json.loads((one(out, seed) / "summary.json").read_text())
        assert summary["budget_used"]["images"] == 16 * STEPS

    seed = next(seed for seed in SEEDS if f"seed{seed}" in lost.name)
    undisturbed = tmp_path / "undisturbed"
    assert main(["study", str(folder), f"seed={seed}", f"out={undisturbed}"]) == 0
    expected, found = weights(one(undisturbed, seed)), weights(one(out, seed))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    capsys.readouterr()
    assert main(["compare", str(out)]) == 0
    assert "jigsaw" in capsys.readouterr().out
    # three folders of temporary files, in which only the killed node left something
    left = [len([*node.glob("ssl-patches-ray-*/*/cells")]) for node in sorted(nodes.iterdir())]
    assert left == [0, 0, 1]
