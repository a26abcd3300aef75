"""The version stands in one place, which the package hands on."""

from __future__ import annotations

import re

import ssl_patches
from ssl_patches.config.version import __version__


def test_the_package_says_the_version_of_the_file() -> None:
    assert ssl_patches.__version__ == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
