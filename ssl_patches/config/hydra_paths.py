"""Let Hydra look for YAML in several folders, and leave a Hydra program that we run in as it was.

Interfaces of Hydra that are not promised, which is why they stand alone here (the pin of hydra-core
in pyproject.toml ends below the next minor release, tests/config/test_hydra_paths.py breaks first):

* ``Plugins.instance().register``: a search path plugin that is made at run time. The documented
  ways, an installed ``hydra_plugins`` package and ``hydra.searchpath``, know no folders that differ
  from call to call and stand *before* the program's own;
* ``GlobalHydra.instance().hydra``: ``initialize_config_dir`` refuses to run inside a program that
  uses Hydra itself; what was there is put aside and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _search_path() -> Any:
    """Return the one plugin class of the process.

    It cannot be taken back, but does nothing while it holds no folders.
    """
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class Folders(SearchPathPlugin):
        before: Sequence[Path] = ()
        after: Sequence[Path] = ()

        def manipulate_search_path(self, search_path: Any) -> None:
            for folder in self.before:
                search_path.prepend("ssl_patches", f"file://{folder}", "main")
            for folder in self.after:
                search_path.append("ssl_patches", f"file://{folder}")

    Plugins.instance().register(Folders)
    return Folders


@contextmanager
def hydra_in(folders: Sequence[Path], main: Path) -> Iterator[None]:
    """Make Hydra look in ``folders``, in that order, for the block; ``main`` is one of them."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    at, plugin, outer = folders.index(main), _search_path(), GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    plugin.before, plugin.after = folders[:at], folders[at + 1 :]
    try:
        with initialize_config_dir(str(main), version_base="1.3"):
            yield
    finally:
        plugin.before = plugin.after = ()
        GlobalHydra.instance().hydra = outer
