"""Export a run, or one of its checkpoints."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config import mixture
from ssl_patches.config.files import trusted
from ssl_patches.config.messages import MISSING, BadRequest, Say
from ssl_patches.config.ownership import SETTINGS
from ssl_patches.config.plain_text import in_lines, tell
from ssl_patches.config.run_dir import CONFIG, LAST, SUMMARY, read_checkpoint
from ssl_patches.config.schema import EXPORT
from ssl_patches.config.summary import read_summary
from ssl_patches.config.words import Place, data_words, words_of_keys
from ssl_patches.data import build as build_data
from ssl_patches.data.live import Datasets
from ssl_patches.encoders import build as build_encoders
from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.exported import CARD, read_card
from ssl_patches.export.exportable import ExportRequest
from ssl_patches.export.staging import check_free
from ssl_patches.export.write import check_wanted, export_encoder

LAST_WEIGHTS, AVERAGE = "trained", "ema"
WEIGHTS = {LAST_WEIGHTS: "encoder.", AVERAGE: "ema."}
"""What the names of an encoder's weights begin with in a checkpoint; the average is there with
``trainer.ema`` only."""


def export_command(
    cfg: Mapping[str, Any],
    *,
    say: Callable[[str], None],
    sources: Datasets | None = None,
    changes: Sequence[str] = (),
    config_dirs: Sequence[Path] = (),
) -> dict[str, Any]:
    """Write ``cfg["output"]`` and return what was proven.

    ``changes``: data.KEY=VALUE that say where the images of the run are now. ``config_dirs``: the
    user's own YAML, whose classes the run may name.

    ValueError for a bad request, ExportMismatch where a format differs.
    """
    if wrong := problems_of(cfg):
        raise BadRequest(wrong)
    wanted, run_dir, output = _wanted(cfg), Path(cfg["model"]), Path(cfg["output"])
    run, checkpoint = config.load(run_dir / CONFIG), Path(cfg["checkpoint"] or run_dir / LAST)
    if lost := sorted(SETTINGS - run.keys()):
        raise ValueError(
            f"model={run_dir}: {CONFIG} has no {lost[0]}, it is not of a run; restore the file"
        )
    images = trusted("data", config_dirs=config_dirs)
    data, images = build_data.with_changes(run["data"], changes, images)
    run = {**run, "data": data}
    encoder, step = restored(
        run, checkpoint, weights=cfg["weights"], allowed=trusted("encoder", config_dirs=config_dirs)
    )
    provenance = _provenance(cfg, run_dir, run, checkpoint)
    mean, std = build_data.pixel_statistics(run, allowed=images, sources=sources)
    proof = export_encoder(
        encoder,
        output,
        image_size=run["image_size"],
        mean=mean,
        std=std,
        stored_range=run["data"].get("value_range"),
        card={
            **provenance,
            "step": step,
            "weights": cfg["weights"],
        },
        calibration=build_data.whole_batches(
            run,
            allowed=images,
            sources=sources,
            fingerprint=provenance["data_fingerprint"],
        ),
        wanted=wanted,
        overwrite=cfg["overwrite"],
    )
    say(in_lines([f"{output}: proven in processes that cannot import ssl_patches", *proof.lines()]))
    say(
        in_lines(
            f"load it:  {line}" for name, line in _loading(output).items() if name in proof.formats
        )
    )
    return {"output": str(output), "checkpoint": str(checkpoint), **asdict(proof)}


def export_request(words: Sequence[str]) -> dict[str, Any]:
    """Compose and check ``conf/export.yaml`` with words. BadRequest with all that is wrong."""
    try:
        return config.request("export", words, schema=EXPORT)
    except BadRequest as error:
        if error.guess is None:
            raise
        raise BadRequest([*error.problems, *problems_of(error.guess)], error.guess) from None


def problems_of(cfg: Mapping[str, Any]) -> list[str]:
    """Return all that is wrong with a request, a line for each mistake; what is missing is none."""
    checks: list[Callable[[], None]] = [lambda: check_wanted(_wanted(cfg))]
    if cfg["output"] != MISSING:
        output = Path(cfg["output"])
        checks.append(lambda: check_free(output, overwrite=cfg["overwrite"], mark=CARD))
    if cfg["model"] != MISSING:
        checks.append(lambda: _check_run(Path(cfg["model"])))
    found = []
    for check in checks:
        try:
            check()
        except (ValueError, TypeError) as error:  # TypeError: of another kind, told already
            found += [str(error)] if isinstance(error, ValueError) else []
    return found


def _wanted(cfg: Mapping[str, Any]) -> ExportRequest:
    return ExportRequest(
        **{key: cfg[key] for key in ("formats", "precision", "input", "image_size", "license")}
    )


def _check_run(run_dir: Path) -> None:
    if not (run_dir / CONFIG).is_file():
        raise ValueError(
            f"model={run_dir}: is no run, it holds no {CONFIG}; name a run_dir of ssl-patches"
            " pretrain"
        )


def restored(
    run: Mapping[str, Any],
    checkpoint: Path,
    *,
    weights: str = LAST_WEIGHTS,
    allowed: tuple[str, ...] | None = None,
) -> tuple[Encoder, int]:
    """Build the encoder of a run with the weights of a checkpoint; return it and their step.

    ``weights``: "trained" or "ema". ``allowed``: the encoders that the run may name; None: those of
    ours and of installed packages. ValueError where the checkpoint does not hold them.
    """
    found = read_checkpoint(checkpoint)
    kept = {name: _below(prefix, found["state_dict"]) for name, prefix in WEIGHTS.items()}
    if not kept.get(weights):
        held = ", ".join(name for name, state in kept.items() if state)
        raise ValueError(
            f"weights={weights}: {checkpoint} holds none of that kind; set weights= to one of:"
            f" {held}"
        )
    encoder = build_encoders.encoder(
        run, allowed=trusted("encoder") if allowed is None else allowed
    )
    try:
        encoder.load_state_dict(kept[weights])
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:160]
        raise ValueError(
            f"checkpoint={checkpoint}: is of another encoder than the run ({reason}); name the"
            " run's own"
        ) from None
    return encoder, found["global_step"]


def _below(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }


def commit() -> str | None:
    """Return the git commit of the ssl_patches that runs, None where it is no checkout.

    It ends in ``-dirty`` where files were changed since.
    """
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        root = Path(__file__).resolve().parents[2]
        if not (root / ".git").exists():  # installed somewhere below another project's checkout
            return None
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _provenance(
    cfg: Mapping[str, Any], run_dir: Path, run: Mapping[str, Any], checkpoint: Path
) -> dict[str, Any]:
    """Collect what the run knows about itself.

    Its results are those of its last weights at its own image size: no others get them.
    """
    summary: dict[str, Any] = {}
    own: dict[str, Any] = {}
    if (run_dir / SUMMARY).is_file():
        summary = _summary(run_dir)
    if (run_dir / "encoder" / CARD).is_file():
        own = read_card(run_dir / "encoder")
    card = {
        "task": summary.get("task") or "+".join(mixture.nodes(run)),
        "config": run,
        "checkpoint": checkpoint.name,
        "data_fingerprint": (
            summary.get("data_fingerprint")
            or read_checkpoint(checkpoint)["origin"]["data_fingerprint"]
        ),
        "commit": own.get("commit"),
        "results": [],
    }
    if checkpoint.resolve() == (run_dir / LAST).resolve():
        card["images"] = summary.get("budget_used", {}).get("images")
        if cfg["weights"] == LAST_WEIGHTS and cfg["image_size"] in (None, run["image_size"]):
            card["results"] = summary.get("results", [])
    return card


def _summary(run_dir: Path) -> dict[str, Any]:
    try:
        return read_summary(run_dir)
    except ValueError as error:
        raise ValueError(
            f"model={run_dir}: {error}; restore the file, or delete it to export without results"
        ) from None


def _loading(output: Path) -> dict[str, str]:
    return {
        "timm": f"timm.create_model('local-dir:{output}', pretrained=True)",
        "onnx": f"onnxruntime.InferenceSession('{output}/encoder.onnx')",
        "torch_export": f"torch.export.load('{output}/encoder.pt2').module()",
    }


def export(*, model: Place, output: Place, data: Any = None, say: Say = tell, **keys: Any) -> Path:
    """Run ``ssl-patches export`` and return ``output``.

    The folder is for ``timm.create_model("local-dir:...", pretrained=True)``.
    ``keys``: ``formats``, ``precision``, ``checkpoint``, ... ``data``: the Dataset object of a run
    that was trained on one (images calibrate the statistics of BatchNorm); other runs find their
    images by themselves. ValueError for a bad request, ExportMismatch where a format differs.
    """
    words, datasets = data_words(data)
    if words and not datasets:
        raise BadRequest([f"data={data}: export takes the images of the run; take it out"])
    cfg = export_request(words_of_keys({"model": model, "output": output, **keys}, None))
    export_command(cfg, say=say, sources=datasets)
    return Path(output)
