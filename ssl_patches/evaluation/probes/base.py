"""Define what a probe is: a small model on frozen features, or a measure of a frozen encoder.

A new probe is a class in a file of its own and a ``conf/probe/NAME.yaml`` whose ``_target_`` names
it; nothing else is edited. Then ``probes=[NAME]`` names it. The YAML may lie in a ``--config-dir``
or in an installed package (``experiments/patch_roles`` is one).

The trap: choosing anything by a metric of the test images, such as the best layer. What is chosen
is chosen on a held-out part of train.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import nn

from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.features.parts import Family
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.rows import Row


class Probe:
    """Base of all probes: says what it needs, and gives rows.

    ``reads``: families of features that it takes from the one pass over the images (see
    ``features.parts``); a probe that reads images itself (dense, fine-tuned) reads none and takes
    ``inputs.network()`` and ``inputs.images()``. ``wants``: what the data must have. ``pixels``:
    whether it has an answer for raw pixels too. ``cuts``: whether it cuts pieces out of images, so
    that ``EvalData.large`` is there. ``keeps``: whether it keeps on disk itself what it computed,
    so that floors are asked each time. ``protocol``: the numbers that its metrics depend on, where
    they do not stand in ``PROTOCOL``: they are stored with every record that it is in.
    """

    reads: ClassVar[frozenset[Family]] = frozenset()
    wants: ClassVar[Literal["labels", "masks", "images"]] = "labels"
    pixels: ClassVar[bool] = False
    cuts: ClassVar[bool] = False
    keeps: ClassVar[bool] = False
    protocol: Mapping[str, Any] = {}

    def check(self, inputs: ProbeInputs) -> None:
        """Refuse images that it cannot work on, by ValueError, before anything is computed.

        ``inputs`` have no features yet, and no encoder.
        """

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Measure one model on one data set.

        ``ProbeInputs.rows`` makes rows of predictions. NotImplementedError in the base class.
        """
        raise NotImplementedError(f"{type(self).__name__}: a probe must define rows(inputs)")

    def draw(
        self, folder: Path, rows: Sequence[Row], encoder: nn.Module, eval_data: EvalData
    ) -> list[Path]:
        """Draw figures into ``folder`` and return the files; most probes have none to draw.

        ``rows``: all rows of the evaluation, of every model. ``encoder``: the model in question.
        """
        return []
