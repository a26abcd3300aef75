"""Find a cluster of Ray, or start one on this machine. Needs the extra ``[ray]``.

The traps: (a) Ray tries for minutes to reach an address where nobody listens; (b) a Ray that we
start asks to report its use, which is switched off.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ssl_patches.config.messages import BadRequest, shown

if TYPE_CHECKING:  # loads numpy and Pillow
    from ssl_patches.studies.object_store import ObjectStore

RULES = {
    "address": "the address of a cluster, auto, or local; give ray.address=auto",
    "num_cpus": "a number from 0, of each run; give ray.num_cpus=4",
    "num_gpus": "a number from 0, of each run, 0.5 shares one; give ray.num_gpus=1",
    "memory_gb": "a number above 0, of each run; give ray.memory_gb=16",
    "store": "an address in an object store; give ray.store=s3://BUCKET/FOLDER",
    "store_options": "a mapping of fsspec's; give ray.store_options={endpoint_url: URL}",
}
"""Words of the command, and what each must be."""
LEAST = {"num_cpus": 0.0, "num_gpus": 0.0, "memory_gb": 1e-3}
PATIENCE_TO_CONNECT = 10.0  # seconds


def problems_of_ray(settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with ``ray.*`` of the command, a line each."""
    found = []
    for key, value in settings.items():
        if key not in RULES:
            found.append(
                f"ray.{key}: unknown key; there are {', '.join(map('ray.{}'.format, RULES))}"
            )
        elif key == "address":
            good = isinstance(value, str) and value != ""
            found += [] if good else [f"ray.address={shown(value)}: must be {RULES[key]}"]
        elif key in ("store", "store_options"):
            found += _problems_of_store(settings, key)
        elif (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not (LEAST[key] <= value < float("inf"))
        ):
            found.append(f"ray.{key}={shown(value)}: must be {RULES[key]}")
    return found


def _problems_of_store(settings: Mapping[str, Any], key: str) -> list[str]:
    """Return what is wrong with one of the two settings of an object store."""
    value = settings[key]
    if key == "store":
        scheme, sign, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
        if not (scheme and sign and rest.strip("/")):
            return [f"ray.store={shown(value)}: must be {RULES[key]}"]
        return []
    if not isinstance(value, Mapping):
        return [f"ray.store_options={shown(value)}: must be {RULES[key]}"]
    return [] if "store" in settings else ["ray.store_options: has no effect without ray.store"]


def object_store_of(settings: Mapping[str, Any]) -> ObjectStore | None:
    """Return the object store that keeps the runs; None where all nodes see one disk.

    BadRequest where what reads it is not installed, or its options are none of its own.
    """
    if "store" not in settings:
        return None
    from ssl_patches.studies.object_store import KEY, ObjectStore

    found = ObjectStore(settings["store"], settings.get("store_options"))
    try:
        found.open()
    except (ValueError, TypeError) as error:
        said = str(error) if isinstance(error, BadRequest) or KEY in str(error) else ""
        raise BadRequest(
            [said or f"ray.store_options: {error}; give only what fsspec takes for {found.url}"]
        ) from None
    return found


def what_ray_needs() -> list[str]:
    """Return a line on what to install where Ray is not."""
    try:
        found = importlib.util.find_spec("ray")
    except ValueError:  # switched off in sys.modules
        found = None
    return [] if found else ["launcher=ray: needs ray; pip install 'ssl-patches[ray]'"]


def begin_ray(settings: Mapping[str, Any]) -> str:
    """Connect to the cluster that is asked for, or start one on this machine; say which it is.

    BadRequest where no cluster answers, or none of its nodes has what a run is to have.
    """
    import ray

    told = connect(settings.get("address"))
    options = task_options(settings)
    wanted = {"CPU": options["num_cpus"], "GPU": options["num_gpus"]}
    wanted |= {"memory": options["memory"]} if "memory" in options else {}
    nodes = [each["Resources"] for each in ray.nodes() if each["Alive"]]
    if lacking := _lacking(wanted, nodes):
        ray.shutdown()
        raise BadRequest([f"ray.num_cpus, ray.num_gpus, ray.memory_gb: {lacking}"])
    return told


def task_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Ray calls the settings of a task."""
    found = {"num_cpus": settings.get("num_cpus", 1), "num_gpus": settings.get("num_gpus", 0)}
    memory = settings.get("memory_gb")
    return found if memory is None else {**found, "memory": memory * 2**30}


def connect(address: str | None) -> str:
    """Connect to a cluster, and say to which. None: the one of RAY_ADDRESS, or else one that is
    started on this machine for this study. BadRequest where none answers."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no telemetry
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    asked = address or os.environ.get("RAY_ADDRESS", "local")
    if asked == "local":
        ray.init("local", include_dashboard=False, **quiet)
        return "Ray on this machine"
    try:
        _knock(asked)
        ray.init(asked, **quiet)
    except (OSError, ValueError, RuntimeError) as error:  # a ConnectionError is an OSError
        raise BadRequest(
            [
                f"ray.address={asked}: no cluster answers ({str(error).splitlines()[0]}); start one"
                " with `ray start --head`, or leave it out for one on this machine"
            ]
        ) from None
    return f"Ray cluster of {sum(each['Alive'] for each in ray.nodes())} nodes"


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT. Why: Ray tries for eight minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=PATIENCE_TO_CONNECT).close()


def _lacking(wanted: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> str:
    """Say which nodes there are where none has what is wanted; "" where one has."""
    for node in nodes:
        if all(node.get(key, 0.0) >= value for key, value in wanted.items()):
            return ""
    each = ", ".join(
        f"{node.get('CPU', 0):g} processors and {node.get('GPU', 0):g} GPUs" for node in nodes
    )
    return (
        f"no node of the cluster has what each run is to have; its nodes have {each}; ask for less"
    )
