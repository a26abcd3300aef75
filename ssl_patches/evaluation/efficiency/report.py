"""Leave what a study of labels found: lines to act on, a figure, and rows beside the run.

``label_efficiency.json`` in the run's directory holds the rows of every model, ours less each other
one, the sentence and what it cost; ``compare`` reads the rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_patches.config.atomic import write_text
from ssl_patches.config.outside import read_json
from ssl_patches.config.run_dir import LABELS, SUMMARY
from ssl_patches.evaluation.efficiency.advice import ours_less_others
from ssl_patches.evaluation.efficiency.figure import draw_curves
from ssl_patches.evaluation.rows import TRAINED

if TYPE_CHECKING:
    from ssl_patches.evaluation.probes.label_efficiency import LabelEfficiency

FIGURE = "label_efficiency.png"


def leave_report(
    probe: LabelEfficiency, model: Path, *, figures: Path | None, own: bool
) -> list[str]:
    """Draw the figure, write the rows beside a run, and return the lines, the sentence last.

    ``figures``: a folder; None: that of the run, and no figure of what is no run. ``own``: the
    images are the run's own; of others nothing is written into it.
    """
    lines = probe.report(ours=TRAINED)
    summary = _summary(model) if own else None
    if summary is not None:
        used = summary.get("budget_used") or {}
        lines.insert(
            1,
            f"pretraining of {model}: {used.get('flops', 0) / 1e12:.3g} TFLOP,"
            f" {used.get('seconds', 0) / 60:.1f} min",
        )
        found = {
            "rows": [
                row.as_dict() for curve in probe.curves for row in curve.rows(data=probe.data)
            ],
            "differences": ours_less_others(probe.curves, ours=TRAINED),
            "report": lines,
            "settings": dict(probe.protocol),
            "cost": {
                name: {"flops": flops, "seconds": seconds}
                for name, (flops, seconds) in probe.costs.items()
            },
        }
        write_text(model / LABELS, json.dumps(found, indent=1))
    if figures is None and summary is not None:
        figures = model / "figures"
    if figures is not None:
        title = f"{probe.data}: what labels give"
        path = draw_curves(
            figures / FIGURE, probe.curves, ours=TRAINED, label=f"ours ({model.name})", title=title
        )
        lines.insert(0, f"figure: {path}")
    return lines


def _summary(model: Path) -> dict[str, Any] | None:
    """Return the summary of a finished run; None where there is none."""
    try:
        found = read_json(model / SUMMARY)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
