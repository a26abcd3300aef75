"""What is asked of Ray is refused before anything is written, with what to give."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from small import SMALL

from ssl_patches.cli import main
from ssl_patches.config.messages import BadRequest
from ssl_patches.studies import ray_cluster


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_gpus": -1}, "ray.num_gpus=-1: must be a number from 0"),
        ({"num_cpus": "four"}, "ray.num_cpus=four: must be a number"),
        ({"num_cpus": True}, "ray.num_cpus=true: must be a number"),
        ({"num_cpus": float("nan")}, "must be a number"),
        ({"memory_gb": 0}, "must be a number above 0"),
        ({"address": None}, "ray.address=null: must be the address"),
        ({"num_cpu": 1}, "ray.num_cpu: unknown key; there are ray.address"),
        ({"store": "runs/here"}, "ray.store=runs/here: must be an address in an object store"),
        ({"store": "s3://"}, "ray.store=s3://: must be an address"),
        ({"store": 3}, "ray.store=3: must be an address"),
        (
            {"store": "s3://b/a", "store_options": "anon"},
            "ray.store_options=anon: must be a mapping",
        ),
        ({"store_options": {}}, "ray.store_options: has no effect without ray.store"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], said: str) -> None:
    (problem,) = ray_cluster.problems_of_ray(settings)
    assert said in problem


def test_what_can_be_meant_is_not() -> None:
    good = {"address": "auto", "num_cpus": 2, "num_gpus": 0.5, "memory_gb": 8}
    good |= {"store": "s3://bucket", "store_options": {"endpoint_url": "http://127.0.0.1:1"}}
    assert ray_cluster.problems_of_ray(good) == []


def test_without_ray_it_is_said_what_to_install(tiny_study, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    folder = tiny_study(axes={"task": []})  # told together with all else
    assert main(["study", str(folder), "launcher=ray"]) == 2
    said = capsys.readouterr().err
    assert "launcher=ray: needs ray; pip install 'ssl-patches[ray]'" in said
    assert "axes.task: is empty" in said


def test_runs_of_pretrain_are_tasks_of_ray_too(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["task=jigsaw,relative", "launcher=ray", f"run_dir={tmp_path / 'runs'}"]
    assert main(["pretrain", "-m", *SMALL, *words]) == 2
    assert "launcher=ray: needs ray" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_settings_of_ray_without_it_are_refused(tiny_study, tmp_path, capsys) -> None:
    assert main(["study", str(tiny_study(axes={"task": []})), "ray.num_gpus=1"]) == 2
    assert "ray.num_gpus: has no effect without launcher=ray" in capsys.readouterr().err


def test_options_that_the_store_has_not_are_refused() -> None:
    pytest.importorskip("fsspec", reason="needs ssl-patches[shards]")
    assert ray_cluster.object_store_of({}) is None
    with pytest.raises(BadRequest, match=r"ray\.store"):
        ray_cluster.object_store_of({"store": "nothing-known://bucket/a"})


def test_no_cluster_where_one_is_named() -> None:
    pytest.importorskip("ray", reason="needs ssl-patches[ray]")
    with pytest.raises(BadRequest, match="no cluster answers"):
        ray_cluster.connect("127.0.0.1:1")
