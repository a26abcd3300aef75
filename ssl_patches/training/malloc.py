"""Keep freed memory in the process: a step asks for the same large blocks as the one before.

glibc gives blocks of more than 32 MiB back to the system when they are freed and fetches them anew
in the next step, zeroed page by page: a batch of 64 views of 224 px costs as much in page faults as
in resizing. ``mallopt`` (glibc) keeps them on the heap. What a process holds is then the most that
it ever needed, as it is with torch's allocator on a GPU.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Keep freed memory for the rest of this process, and say whether that could be done.

    False where the C library is another one than glibc, and nothing is changed.
    """
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, 2**30) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
