"""Tell failures of the machine, and errors that came out of a worker process, in one line.

A full disk, a place that may not be written, a worker that was killed or found no shared memory: no
traceback helps there, a remedy does. What is not known here stays a traceback, for it is a bug.
"""

from __future__ import annotations

import errno
import re

REMEDIES = {
    errno.ENOSPC: "make room, or name another place",
    errno.EDQUOT: "make room, or name another place",
    errno.EACCES: "make it yours, or name another place",
    errno.EPERM: "make it yours, or name another place",
    errno.EROFS: "name a place that may be written",
    errno.ENOENT: "see whether it was moved or deleted meanwhile",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EIO: "see whether the disk is sound",
    errno.ESTALE: "see whether the server is there",
    errno.EMFILE: "set data.num_workers=0, or raise `ulimit -n`",
    errno.ENOTDIR: "name a folder",
    errno.ELOOP: "name the file itself",
}
WORKER = re.compile(
    r"DataLoader worker .*(exited|killed)|unable to (mmap|write|open|allocate).*shm"
)
MEMORY = re.compile(r"shared memory|/dev/shm|bus error|[Tt]oo many open files|received 0 items")
POOL = re.compile(r"process in the process pool (was )?terminated|process pool is not usable")
ALLOCATION = re.compile(r"can't allocate memory|[Oo]ut of memory|DefaultCPUAllocator")


def of_the_machine(error: BaseException) -> str | None:
    """Return what happened and what to do, in one line; None for what is no known failure."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in REMEDIES:
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror}; {REMEDIES[error.errno]}"
    if WORKER.search(text) or MEMORY.search(text):
        return (
            "a process that loads images ended: it was killed, or there is too little memory or"
            " /dev/shm for it; set data.num_workers=0, or give a container more (--shm-size)"
        )
    if POOL.search(text):
        return (
            "a process that reads the headers of images was killed; what is listed then is listed"
            " anew: start it again, with more memory if that ran out"
        )
    if isinstance(error, MemoryError) or ALLOCATION.search(text):
        return (
            "there is too little memory; set a smaller data.batch_size, image_size or encoder, and"
            " see --dry-run for what a step takes"
        )
    return None


def own_words(error: BaseException) -> str:
    """Return what an error says; without the traceback that a loader's worker wraps it in."""
    text = str(error)
    if not text.startswith("Caught ") or "Original Traceback" not in text:
        return text
    name = type(error).__name__
    last = re.split(rf"^(?:[\w.]+\.)?{name}: ", text, flags=re.MULTILINE)[-1]
    return last.strip()
