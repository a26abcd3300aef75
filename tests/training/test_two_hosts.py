"""Two hosts are one run: torchrun on each, in network namespaces that a cable joins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from runs import rows
from small import SMALL

PORT = 29500
ADDRESSES = ("10.211.7.1", "10.211.7.2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces that reach each other and nothing else."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("needs ip and unshare (iproute2, util-linux)")
    hosts = (f"ssl{os.getpid()}a", f"ssl{os.getpid()}b")
    made = []
    try:
        try:
            for host in hosts:
                ip("netns", "add", host)
                made.append(host)
            one, other = (("name", "eth0", "netns", host) for host in hosts)
            ip("link", "add", *one, "type", "veth", "peer", *other)
            for host, address in zip(hosts, ADDRESSES, strict=True):
                ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
                for link in ("lo", "eth0"):
                    ip("-n", host, "link", "set", link, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
        yield hosts
    finally:
        for host in made:
            ip("netns", "delete", host)


@pytest.mark.slow
def test_two_hosts_train_as_one_process_with_twice_the_batch(two_hosts, only_training, tmp_path):
    """They see one folder, have names of their own, and rank 0 alone writes."""
    words = ("data.batch_size=8", "budget.images=32")
    given = {word.partition("=")[0] for word in words}
    small = [word for word in SMALL if word.partition("=")[0] not in given]
    run_dir = tmp_path / "run"
    settings = (
        *("trainer.nodes=2", "trainer.devices=1", "trainer.device=cpu", "trainer.log_every=1"),
        *("callbacks=none", "evaluation.train_images=16", "evaluation.test_images=8"),
    )
    ranks = []
    for rank, host in enumerate(two_hosts):
        launch = (
            *("ip", "netns", "exec", host, "unshare", "--uts"),
            *("sh", "-c", 'hostname "$0" && exec "$@"', host),
            *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"),
            *(f"--node-rank={rank}", f"--master-addr={ADDRESSES[0]}", f"--master-port={PORT}"),
            *("-m", "ssl_patches", "pretrain"),
        )
        ranks.append(
            subprocess.Popen(
                [*launch, *small, *words, *settings, f"run_dir={run_dir}"],
                env={**os.environ, "GLOO_SOCKET_IFNAME": "eth0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        told = [process.communicate(timeout=900)[0] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert [process.returncode for process in ranks] == [0, 0], told
    assert ["load it" in text for text in told] == [True, False]  # one process speaks
    one = only_training(tmp_path / "one", *words, "trainer.accumulate=2")
    found, wanted = ([float(row["loss"]) for row in rows(place)] for place in (run_dir, one))
    assert found == pytest.approx(wanted, rel=1e-5)
