"""Keep freed memory in the process: a step asks for the same large blocks as the one before.

glibc gives blocks of more than 32 MiB back to the system when they are freed and fetches them anew
in the next step, zeroed page by page: a batch of 64 views of 224 px costs as much in page faults as
in resizing. ``mallopt`` (glibc) keeps them on the heap. What a process holds is then the most that
it ever needed, as it is with torch's allocator on a GPU. When training is over, that is given back
once: a proof in another process needs memory too.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Keep freed memory for the rest of this process, and say whether that could be done.

    False where the C library is another one than glibc, and nothing is changed.
    """
    if (libc := _glibc()) is None:
        return False
    return bool(libc.mallopt(M_MMAP_THRESHOLD, 2**30) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> bool:
    """Give the system back what is freed and still held, and say whether there was any.

    False where the C library is another one than glibc, too.
    """
    libc = _glibc()
    return libc is not None and bool(libc.malloc_trim(0))


def _glibc() -> ctypes.CDLL | None:
    """Return the C library; None where it is another one than glibc."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if libc is not None and hasattr(libc, "gnu_get_libc_version") else None
