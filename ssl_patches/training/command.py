"""Pretrain from Python: ``ssl_patches.pretrain``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config.messages import BadRequest, Say
from ssl_patches.config.plain_text import tell
from ssl_patches.config.words import Place, data_words, words_of_keys
from ssl_patches.training.processes import is_follower, started_outside
from ssl_patches.training.request import request_run
from ssl_patches.training.run import pretrain as run_pretrain


def pretrain(
    *,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    config_dirs: Sequence[Place] = (),
    say: Say = tell,
    **keys: Any,
) -> Path:
    """Pretrain an encoder as ``ssl-patches pretrain`` does, and return the run directory.

    ``data``: a folder of images, a name of conf/data, or a Dataset object (map-style; items are
    images, (image, label) or dicts of them), of which 20 % are held out unless ``{"train": ...,
    "val": ...}`` are given; None: the embedded images.
    ``keys``: ``task``, ``encoder``, ``image_size``, ``budget``, ``run_dir``, ... ``config_dirs``:
    as ``--config-dir``. ValueError (BadRequest) as the command would print it, all problems at
    once; Failed where training fails.
    """
    words, datasets = data_words(data)
    words += words_of_keys(keys, settings)
    cfg, chosen = request_run(words, config_dirs=[Path(place) for place in config_dirs])
    processes = cfg["trainer"].get("devices", 1) * cfg["trainer"].get("nodes", 1)
    if datasets and processes > 1 and started_outside() == 1:
        raise BadRequest(
            [
                f"trainer.devices={cfg['trainer']['devices']}: processes that are started here"
                " cannot have a Dataset object of this one; give data={'_target_':"
                " 'module.Class'}, start all with torchrun, or set trainer.devices=1"
            ]
        )
    words += [f"--config-dir={place}" for place in config_dirs]
    say = _silent if is_follower() else say
    if chosen:
        say(chosen)
    return run_pretrain(cfg, say=say, words=words, sources=datasets)


def _silent(_: str) -> None:
    """Print nothing: what a process says that trains along with another."""
