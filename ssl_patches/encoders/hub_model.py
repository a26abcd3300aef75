"""Open a model of the Hugging Face hub as it is, without a pretraining of ours.

A repository that ``push`` sent is read as the export that it is. Of another one of timm the network
is made here from what ``config.json`` says of it, and only tensors are read: timm itself would
follow other keys to files and addresses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm

from ssl_patches.config.outside import read_json
from ssl_patches.encoders.exported import CARD, CONFIG, WEIGHTS, Subject, of_export
from ssl_patches.encoders.families import check_arguments
from ssl_patches.encoders.hub import fetched
from ssl_patches.encoders.weight_files import tensors_of

ABOUT_IMAGES = ("input_size", "mean", "std")


def open_on_hub(word: str, key: str) -> Subject:
    """Open ``hf-hub:USER/NAME[@REVISION]``. ValueError, naming ``key``, where that is no model."""
    folder = fetched(word, key)
    if (folder / CARD).is_file():
        return of_export(folder)
    try:
        return _of_timm(folder)
    except (OSError, ValueError, TypeError, AssertionError, RuntimeError, LookupError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{key}={word}: its network cannot be made ({reason}); name a repository that timm or"
            " ssl-patches push wrote"
        ) from None


def _of_timm(folder: Path) -> Subject:
    config = read_json(folder / CONFIG)
    arguments = {**(config.get("model_args") or {})}
    check_arguments(arguments, "model_args")
    arguments.pop("num_classes", None)
    net = timm.create_model(config["architecture"], num_classes=0, **arguments).eval()
    state = tensors_of(folder / WEIGHTS)
    wanted = net.state_dict()
    net.load_state_dict({name: state[name] for name in wanted})  # what is left over is the head
    own: dict[str, Any] = {**net.pretrained_cfg}  # type: ignore[dict-item]
    said = config.get("pretrained_cfg", config)  # flat in older files of timm
    own |= {name: said[name] for name in ABOUT_IMAGES if name in said}
    return Subject(net, int(own["input_size"][1]), own["mean"], own["std"], None)
