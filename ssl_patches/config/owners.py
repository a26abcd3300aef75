"""Say which process works with a folder, and whether it is still there.

A process number is used again, so a process is known by its start as well; and it can be looked up
on its own machine only.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process that works with a folder, as its lock says.

    ``machine`` tells apart machines and containers of the same host name; ``began``: Unix time.
    """

    host: str
    machine: str
    pid: int
    start: str  # of the process, as the system tells it
    began: float
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def lives_here(last: Owner) -> bool | None:
    """Tell whether an owner works still; None where it ran on another machine, which tells
    nothing."""
    if last.released:
        return False
    return start_of(last.pid) == last.start if last.machine == machine_name() else None


def myself() -> Owner:
    """Return this process as an owner that begins now."""
    pid = os.getpid()
    return Owner(socket.gethostname(), machine_name(), pid, start_of(pid) or "", time.time())


@cache
def machine_name() -> str:
    """Return what is equal for two processes exactly when one can look up the other's pid."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def start_of(pid: int) -> str | None:
    """Return when a process began, in the system's own words; None where it is no more (or a
    zombie)."""
    if sys.platform == "linux":
        try:
            after_name = (
                Path(f"/proc/{pid}/stat")
                .read_text(encoding="ascii", errors="replace")
                .rpartition(")")[2]
                .split()
            )
        except OSError:
            return None
        return None if after_name[0] in "ZX" else after_name[19]
    told = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or None
