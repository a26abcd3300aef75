"""Evaluate from the command line: which model, on which images, beside which others.

Only what was exported is ever evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssl_patches import config
from ssl_patches.config.messages import Failed, Say
from ssl_patches.config.plain_text import tell
from ssl_patches.config.schema import channels_of
from ssl_patches.config.words import Place, data_words, words_of_keys
from ssl_patches.data import build as build_data
from ssl_patches.data.build import data_name, other_images
from ssl_patches.data.index.listing import one_look
from ssl_patches.data.live import Datasets
from ssl_patches.encoders.subject import Subject, open_model
from ssl_patches.evaluation.efficiency.report import leave_report
from ssl_patches.evaluation.efficiency.rivals import Rival, open_rivals
from ssl_patches.evaluation.images import (
    check_channels,
    chosen_data,
    limits_told,
    range_told,
    say_images,
)
from ssl_patches.evaluation.one_model import record_of
from ssl_patches.evaluation.precision import precision_for
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.table import GROUP, check_probes, probes_named
from ssl_patches.evaluation.record import Paired, Record, paired
from ssl_patches.evaluation.request import evaluate_request
from ssl_patches.evaluation.rows import AGAINST, TRAINED, Row, table


class Evaluated(NamedTuple):
    """What ``evaluate`` found: rows of every model, what ``against=`` found in pairs, and lines to
    be read last (which model to use)."""

    rows: list[Row]
    pairs: list[Paired]
    report: list[str]


EFFICIENCY = "label_efficiency"
EFFICIENCY_CLASS = "ssl_patches.evaluation.probes.label_efficiency.LabelEfficiency"


def evaluate_command(
    words: Sequence[str],
    *,
    config_dirs: Sequence[Path],
    say: Say,
    sources: Datasets | None = None,
) -> Evaluated:
    """Run ``ssl-patches evaluate``: rows, what ``against=`` found, and what it comes to.

    ValueError for a bad request.
    """
    words, changes = config.without_data_keys(words)
    cfg = evaluate_request(words, config_dirs=config_dirs)
    check_probes(cfg)
    probes = _probes(cfg)
    if cfg["output"] is not None and not Path(cfg["output"]).parent.is_dir():
        raise ValueError(
            f"output={cfg['output']}: there is no folder {Path(cfg['output']).parent}; make it, or"
            " give another FILE"
        )
    if cfg["output"] is not None and Path(cfg["output"]).exists():
        _refuse_other_file(Path(cfg["output"]))
    subject = open_model(cfg["model"], pretrained=cfg["pretrained"])
    chosen = precision_for(cfg["precision"], subject)
    cfg = {**cfg, "precision": chosen.precision}
    data, allowed = chosen_data(cfg, subject, changes, config_dirs=config_dirs)
    data = build_data.with_label_kind(data, cfg["labels"], allowed=allowed)
    against = (
        None
        if cfg["against"] is None
        else open_model(cfg["against"], pretrained=cfg["pretrained"], key="against")
    )
    if against is not None:
        check_channels(data, against, cfg["against"])
    for line in range_told(cfg.get("data"), data, subject, cfg["model"]):
        say(line)
    if against is not None:
        for line in range_told(None, data, against, cfg["against"]):
            say(line)
    rivals = open_rivals(
        cfg["rivals"],
        pretrained=cfg["pretrained"],
        image_size=cfg["rival_size"],
        channels=channels_of({"data": data}),
    )
    for line in _rivals_told(rivals, subject, data):
        say(line)
    figures = None if cfg["figures"] is None else Path(cfg["figures"])
    options = {
        "num_workers": data["num_workers"],
        "allowed": allowed,
        "say": say,
        "sources": sources,
        "config_dirs": config_dirs,
        "probes": probes,
    }
    with one_look():
        train, test = (
            build_data.source(
                {"data": data, "image_size": subject.image_size},
                split,
                whole=True,
                allowed=allowed,
                sources=sources,
            )
            for split in ("train", "val")
        )
    say_images(say, subject, (train, test), of_run=not cfg.get("data"))
    for line in (chosen.said, "" if cfg.get("data") else limits_told(cfg, subject, (train, test))):
        if line:
            say(line)
    record = record_of(
        subject,
        data,
        cfg,
        floors=Path("runs") / ".floors",
        figures=figures,
        **options,
        pair=(train, test),
    )
    if cfg["output"] is not None:
        _save(record, Path(cfg["output"]), say)
    rows = list(record.rows)
    for rival in rivals:
        rows += record_of(
            rival.subject, data, cfg, floors=None, figures=None, model_name=rival.name, **options
        ).rows
    report = _left(
        probes,
        Path(cfg["model"]),
        figures=figures,
        own=not other_images(subject.fingerprint, train),
    )
    if against is None:
        return Evaluated(rows, [], report)
    other = record_of(against, data, cfg, floors=None, figures=None, model_name=AGAINST, **options)
    found = paired(record, other)
    rows += [*other.rows, *(row for pair in found for row in pair.rows(data=data_name(data)))]
    return Evaluated(rows, found, report)


def _probes(cfg: Mapping[str, Any]) -> dict[str, Probe]:
    """Build the probes that were asked for; what ``label_efficiency`` is told stands apart."""
    own = dict(cfg.get(GROUP) or {})
    if EFFICIENCY in cfg["probes"] and EFFICIENCY not in own:
        own[EFFICIENCY] = {
            "_target_": EFFICIENCY_CLASS,
            "kept": str(Path("runs") / ".label_efficiency"),
            **cfg[EFFICIENCY],
        }
    return probes_named(cfg["probes"], own)


def _left(probes: Mapping[str, Probe], model: Path, **where: Any) -> list[str]:
    """Leave what a study of labels found, and return its lines; none where none was asked for."""
    if EFFICIENCY not in probes:
        return []
    from ssl_patches.evaluation.probes.label_efficiency import LabelEfficiency

    probe = probes[EFFICIENCY]
    return leave_report(probe, model, **where) if isinstance(probe, LabelEfficiency) else []


def _rivals_told(
    rivals: Sequence[Rival], subject: Subject, data: Mapping[str, Any]
) -> Iterator[str]:
    """Say how each rival sees the images, where that is another way than ours."""
    for rival in rivals:
        if rival.subject.image_size != subject.image_size:
            yield (
                f"{rival.name} sees images at {rival.subject.image_size} px, {TRAINED} at"
                f" {subject.image_size} px (rival_size=N sets another size)"
            )
        yield from range_told(None, data, rival.subject, rival.name)


def _save(record: Record, output: Path, say: Say) -> None:
    """Write the record; where that fails, what was found is said before."""
    try:
        record.save(output)
    except OSError as error:  # a full disk, say
        say(table(record.rows))
        raise Failed(
            f"output={output}: cannot be written ({error.strerror}); what was found stands above;"
            " give another FILE"
        ) from None


def _refuse_other_file(output: Path) -> None:
    try:
        Record.load(output)
    except ValueError:
        raise ValueError(
            f"output={output}: exists and is no record of evaluate; give another FILE"
        ) from None


def evaluate(
    *,
    model: Place,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    config_dirs: Sequence[Place] = (),
    say: Say = tell,
    **keys: Any,
) -> list[Row]:
    """Run ``ssl-patches evaluate``: a row for each model and metric, with 95 % bounds.

    ``model``: a run, an export or a name of timm. ``data``: as for ``pretrain``; None: those of the
    run. ``keys``: ``probes``, ``against``, ``figures``, ... ``[row.as_dict() for row in rows]`` is
    a table for pandas. ValueError for a bad request.
    """
    words, datasets = data_words(data)
    words += words_of_keys({"model": model, **keys}, settings)
    found = evaluate_command(
        words, config_dirs=[Path(place) for place in config_dirs], say=say, sources=datasets
    )
    for line in found.report:
        say(line)
    return found.rows
