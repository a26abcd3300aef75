"""Have Pillow refuse files that end early, whatever the program has told it.

``ImageFile.LOAD_TRUNCATED_IMAGES`` is a global of Pillow, and its only switch: any import in the
process may set it, and then a damaged file becomes a grey picture that is trained on. It is unset
for as long as any thread decodes, and then is again what it was. tests/data/test_truncated.py
breaks where Pillow reads it no more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ImageFile

_lock = threading.Lock()
_inside, _before = 0, False


@contextmanager
def truncated_refused() -> Iterator[None]:
    """Make Pillow raise OSError for files that end early, for the block."""
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES = _before
