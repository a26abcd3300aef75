"""From a run, or one of its checkpoints, to an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssl_patches import assemble, config
from ssl_patches.encoders.base import Encoder
from ssl_patches.export.proof import export_encoder
from ssl_patches.run_dir import CONFIG, LAST, read_checkpoint
from ssl_patches.wording import nearest

FORMATS = ("timm",)


def export_command(cfg: Mapping[str, Any], *, say: Callable[[str], None]) -> dict[str, Any]:
    """Writes ``cfg["output"]``; returns what was proven. ValueError for a bad request, ExportMismatch where unequal."""
    for name in cfg["formats"]:
        if name not in FORMATS:
            raise ValueError(f"formats=[{name}]: no such format; {nearest(name, FORMATS)}")
    run_dir, output = Path(cfg["model"]), Path(cfg["output"])
    if not (run_dir / CONFIG).is_file():
        raise ValueError(f"model={run_dir}: is no run, it holds no {CONFIG}; name a run_dir of ssl-patches pretrain")
    run, checkpoint = config.load(run_dir / CONFIG), Path(cfg["checkpoint"] or run_dir / LAST)
    encoder, step = restored(run, checkpoint)
    mean, std = assemble.pixel_statistics(run, allowed=assemble.OURS)
    proof = export_encoder(
        encoder,
        output,
        image_size=run["image_size"],
        mean=mean,
        std=std,
        card={"config": run, "checkpoint": checkpoint.name, "step": step},
        calibration=assemble.whole_batches(run, allowed=assemble.OURS),
        overwrite=cfg["overwrite"],
    )
    say(
        f"{output}: {proof.images} images give the same features in a process without ssl_patches, "
        f"largest difference {proof.largest_relative_difference:.1e} of the largest feature\n"
        f"load it:  timm.create_model('local-dir:{output}', pretrained=True)"
    )
    return {"output": str(output), "checkpoint": str(checkpoint), **asdict(proof)}


def restored(run: Mapping[str, Any], checkpoint: Path) -> tuple[Encoder, int]:
    """The encoder of a run with the weights of ``checkpoint``, and the step they are from. ValueError where unfit."""
    found = read_checkpoint(checkpoint)
    encoder = assemble.encoder(run, allowed=assemble.OURS)
    weights = {key.removeprefix("encoder."): value for key, value in found["state_dict"].items() if key.startswith("encoder.")}
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:160]
        raise ValueError(f"checkpoint={checkpoint}: is of another encoder than the run ({reason}); name the run's own") from None
    return encoder, found["global_step"]
